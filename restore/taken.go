package restore

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/busypoll"
	"crak.dev/crak/internal/printable"
	"crak.dev/crak/internal/proc"
)

const (
	exitTimeout    = 2500 * time.Millisecond // for zombies and process groups, and after the last look at a process that was exiting
	longestExit    = 30 * time.Second        // for a process that is exiting: the program, or the twin of its last checkpoint
	handlerTimeout = 500 * time.Millisecond  // for a parent that may wait for a zombie in a handler for SIGCHLD
	takenInterval  = 5 * time.Millisecond    // between two looks at what has no pidfd
)

// isTaken tells whether a process, a thread or a process group has the number. It waits for processes that are exiting, and for
// zombies for which the parent is about to wait.
//
// A process that is exiting frees its memory, which may take a second for each GiB. Each look at one moves the deadline.
func isTaken(tid int, deadline *time.Time) bool {
	first := time.Now()
	for begun := first; ; {
		process, group := unix.Kill(tid, 0) != unix.ESRCH, unix.Kill(-tid, 0) != unix.ESRCH
		if !process && !group {
			return false
		}
		ends, zombie := *deadline, false
		if process {
			stat, live, err := lookAt(tid)
			switch now := time.Now(); {
			case err != nil: // it has just ended
			case live:
				return true
			case stat.HasEnded():
				zombie = true
				if at := begun.Add(parentTimeout(stat)); at.Before(ends) {
					ends = at
				}
			case now.Sub(first) < longestExit:
				begun = now
				if at := now.Add(exitTimeout); at.After(*deadline) {
					*deadline = at
				}
				ends = *deadline
			}
		}
		left := time.Until(ends)
		if left <= 0 {
			return true
		}
		awaitChange(tid, zombie, left)
	}
}

// lookAt returns what /proc says of a process or a thread, and whether it, or another thread of the process, is not exiting. A thread group
// leader that has exited is a zombie as long as other threads live.
func lookAt(tid int) (stat proc.StatInfo, live bool, err error) {
	stat, err = proc.Read(tid, "stat", proc.Stat)
	if live = err == nil && stat.IsLive(); err != nil || live || stat.HasEnded() {
		return stat, live, err
	}
	threads, _ := proc.Tasks(tid)
	for _, other := range threads {
		s, err := proc.Read(tid, fmt.Sprintf("task/%d/stat", other), proc.Stat)
		live = live || err == nil && s.IsLive()
	}
	return stat, live, nil
}

// awaitChange waits until a process has ended or, if it is a zombie, until its parent has waited for it (Linux 6.9). Otherwise it
// returns after a moment.
func awaitChange(pid int, zombie bool, longest time.Duration) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil { // a thread, or a process group
		time.Sleep(min(longest, takenInterval)) // without a pidfd there is no event
		return
	}
	defer unix.Close(pidfd)
	end := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	if zombie {
		end[0].Events = 0                        // POLLHUP only
		longest = min(longest, 10*takenInterval) // the parent may begin something else, and an older kernel tells nothing
	}
	busypoll.Poll(end, longest)
}

// parentTimeout is how long it is worth to wait until a zombie's parent waits for it. It is 0 if the parent is blocked in another call
// and has no handler for SIGCHLD.
func parentTimeout(zombie proc.StatInfo) time.Duration {
	status, err := proc.Read(zombie.PPid, "status", proc.Status)
	if err != nil {
		return handlerTimeout
	}
	threads, err := proc.Tasks(zombie.PPid)
	if err != nil {
		return handlerTimeout
	}
	for _, tid := range threads {
		call, err := proc.Read(zombie.PPid, "task/"+strconv.Itoa(tid)+"/syscall", proc.Syscall)
		if err != nil {
			return handlerTimeout
		}
		if call.Running && zombie.PPid != os.Getpid() || waitsFor(call, zombie.Pid) {
			return exitTimeout
		}
	}
	switch {
	case status.SigCgt&(1<<(unix.SIGCHLD-1)) == 0:
		return 0
	case zombie.PPid == 1: // an init process waits for every child, but some take their time
		return exitTimeout
	}
	return handlerTimeout
}

// waitsFor tells whether a blocked call may return a child with this PID.
func waitsFor(call proc.SyscallInfo, pid int) bool {
	first, second := int(int32(call.Args[0])), int(int32(call.Args[1]))
	switch call.Number {
	case unix.SYS_WAIT4:
		return first <= 0 || first == pid
	case unix.SYS_WAITID:
		return first != unix.P_PID || second == pid
	}
	return call.Number == unix.SYS_RT_SIGSUSPEND
}

// taker says which process, process group or session has a number.
func taker(pid int) string {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil {
		return " by a process group or a session"
	}
	if !stat.HasEnded() {
		return " by " + printable.Text(stat.Comm)
	}
	parent := ""
	if by, err := proc.Read(stat.PPid, "stat", proc.Stat); err == nil {
		parent = " (" + printable.Text(by.Comm) + ")"
	}
	return fmt.Sprintf(" by %s, which has ended, and for which its parent, pid %d%s, has not waited: end the parent, or let it wait",
		printable.Text(stat.Comm), stat.PPid, parent)
}
