package restore

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// A number is a PID that a restart needs, for a process, a thread, a process group or a session.
type number struct {
	pid   int
	owner image.Pid // the member for which it is needed
	use   string    // what has the number: "process", "thread", …
}

func (n number) String() string {
	if n.pid == int(n.owner) {
		return fmt.Sprintf("PID %d", n.pid)
	}
	return fmt.Sprintf("PID %d, of a %s of pid %d,", n.pid, n.use, n.owner)
}

// numbers returns all numbers that a group needs, sorted and each once: of its processes, threads and zombies, and of leaders of
// sessions and process groups that have ended. The root's session and process group are left out if they are
// those of the shell that started the root: a restart does not restore them.
func numbers(g *image.Group) (all []number) {
	known := map[image.Pid]bool{rootOf(g).ProcessGroup: true, rootOf(g).Session: true}
	for i := range g.Processes {
		p := &g.Processes[i]
		all = append(all, number{int(p.Pid), p.Pid, "process"})
		known[p.Pid] = true
		for _, t := range p.Threads {
			if t.Parked.Tid != int32(p.Pid) {
				all = append(all, number{int(t.Parked.Tid), p.Pid, "thread"})
			}
		}
	}
	for _, z := range g.Zombies {
		all = append(all, number{int(z.Pid), z.Parent, "child that has ended"})
		known[z.Pid] = true
	}
	leader := func(pid, of image.Pid, use string) {
		if !known[pid] && pid != 0 {
			all = append(all, number{int(pid), of, use})
			known[pid] = true
		}
	}
	for i := range g.Processes {
		leader(g.Processes[i].Session, g.Processes[i].Pid, "session")
		leader(g.Processes[i].ProcessGroup, g.Processes[i].Pid, "process group")
	}
	for _, z := range g.Zombies {
		leader(z.Session, z.Pid, "session")
		leader(z.ProcessGroup, z.Pid, "process group")
	}
	slices.SortFunc(all, func(a, b number) int { return cmp.Compare(a.pid, b.pid) })
	return all
}

// whyNotKeep says why crak cannot give the processes of a group their old PIDs in this PID namespace, and for which process. It
// returns "" if crak can.
func whyNotKeep(g *image.Group) (why string, of image.Pid) {
	switch err := mayChoosePids(); err {
	case nil:
	case unix.EPERM:
		return "choosing PIDs here takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN", g.Root
	default:
		return fmt.Sprintf("choosing PIDs: clone3: %v", err), g.Root
	}
	deadline := time.Now().Add(exitTimeout)
	needed := numbers(g)
	if why := beyondMost(needed); why != "" {
		return why, needed[len(needed)-1].owner
	}
	for _, n := range needed {
		if isTaken(n.pid, &deadline) {
			return fmt.Sprintf("%v is taken%s", n, taker(n.pid)), n.owner
		}
	}
	if path := takenTerminal(g); path != "" {
		return "another program has " + path + " now, the number of a pseudo-terminal of the program", g.Root
	}
	return "", 0
}

// beyondMost says which number is too large for this PID namespace. Namespaces have limits of their own since Linux 6.14.
func beyondMost(needed []number) string {
	text, err := os.ReadFile("/proc/sys/kernel/pid_max")
	most, notNumber := strconv.Atoi(string(bytes.TrimSpace(text)))
	if highest := needed[len(needed)-1]; err == nil && notNumber == nil && highest.pid >= most {
		return fmt.Sprintf("%v is too large: PIDs are below %d here (sysctl kernel.pid_max)", highest, most)
	}
	return ""
}

// A takenError says that another process took a PID or TID after it was checked.
type takenError struct{ error }

// cloneArgs is struct clone_args (clone3(2)).
type cloneArgs struct {
	Flags, Pidfd, ChildTid, ParentTid, ExitSignal, Stack, StackSize, TLS uint64
	SetTid                                                               *int32
	SetTidSize, Cgroup                                                   uint64
}

// mayChoosePids asks the kernel for a process with crak's PID. The kernel checks the permission first, and then refuses because
// the PID exists (alloc_pid in kernel/pid.c, since Linux 5.5).
func mayChoosePids() error {
	tid := int32(os.Getpid())
	args := cloneArgs{ExitSignal: uint64(unix.SIGCHLD), SetTid: &tid, SetTidSize: 1}
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if errno == unix.EEXIST {
		return nil
	}
	return errno
}

// checkKeep finds what prevents a restart with --pids=keep.
func checkKeep(g *image.Group) (all obstacle.List) {
	if why, of := whyNotKeep(g); why != "" {
		all = append(all, obstacle.Obstacle{Pid: int(of), What: "its PIDs", Why: why,
			Do: "let --pids=auto put the program into a PID namespace of its own"})
	}
	return all
}
