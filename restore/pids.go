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

// whyNotKeep says why the PIDs of a group cannot be had here, or nothing.
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

// isTaken tells whether a process, a thread or a process group has the number. What is on its way out is waited for:
// the program that was killed a moment ago, or the twin of its last checkpoint.
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

// takenError: a number was taken at the moment it was to be given.
type takenError struct{ error }

// cloneArgs is struct clone_args (clone3(2)).
type cloneArgs struct {
	Flags, Pidfd, ChildTid, ParentTid, ExitSignal, Stack, StackSize, TLS uint64
	SetTid                                                               *int32
	SetTidSize, Cgroup                                                   uint64
}

// mayChoosePids asks the kernel for a process with our own PID: that exists, so that none is made, but
// permission is looked at first (alloc_pid in kernel/pid.c, since Linux 5.5).
func mayChoosePids() error {
	tid := int32(os.Getpid())
	args := cloneArgs{ExitSignal: uint64(unix.SIGCHLD), SetTid: &tid, SetTidSize: 1}
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	if errno == unix.EEXIST {
		return nil
	}
	return errno
}

// checkKeep is for those who want no other PIDs.
func checkKeep(g *image.Group) (all obstacle.List) {
	if why := whyNotKeep(g); why != "" {
		all = append(all, obstacle.Obstacle{Pid: int(g.Root), What: "its PIDs", Why: why,
			Do: "let --pids=auto put the program into a PID namespace of its own"})
	}
	return all
}
