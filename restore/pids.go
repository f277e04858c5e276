package restore

import (
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// whyNotKeep says why crak cannot give the processes of a group their PIDs here. It returns "" if it can.
func whyNotKeep(g *image.Group) string {
	switch err := mayChoosePids(); err {
	case nil:
	case unix.EPERM:
		return "choosing PIDs here takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN"
	default:
		return fmt.Sprintf("choosing PIDs: clone3: %v", err)
	}
	for _, tid := range tids(g) {
		if isTaken(tid) {
			return fmt.Sprintf("PID %d is taken", tid)
		}
	}
	return ""
}

// isTaken tells whether a process, a thread or a process group has the number. It waits for processes that are exiting: the program
// may have been killed a moment ago, or the twin of its last checkpoint may still exist.
func isTaken(tid int) bool {
	const rounds, pause = 500, 5 * time.Millisecond
	for range rounds {
		process, group := unix.Kill(tid, 0) != unix.ESRCH, unix.Kill(-tid, 0) != unix.ESRCH
		if !process && !group {
			return false
		}
		if process {
			stat, err := proc.Read(tid, "stat", proc.Stat)
			if err == nil && stat.State != 'Z' && stat.State != 'X' {
				return true
			}
		}
		time.Sleep(pause)
	}
	return true
}

// A takenError says that another process took a PID or TID after it was checked.
type takenError struct{ error }

// cloneArgs is struct clone_args (clone3(2)).
type cloneArgs struct {
	Flags, Pidfd, ChildTid, ParentTid, ExitSignal, Stack, StackSize, TLS uint64
	SetTid                                                               *int32
	SetTidSize, Cgroup                                                   uint64
}

// mayChoosePids asks the kernel for a process with our own PID. The kernel checks the permission first, and then refuses because
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
	if why := whyNotKeep(g); why != "" {
		all = append(all, obstacle.Obstacle{Pid: int(g.Root), What: "its PIDs", Why: why,
			Do: "let --pids=auto put the program into a PID namespace of its own"})
	}
	return all
}
