package coord

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// A thread in an uninterruptible sleep (state D) takes no signal. The other threads must not stand still because of it, so the
// writer looks at its state before the freeze.

const (
	timeoutUninterruptible  = time.Second           // for a thread to wake up: a slow disk takes less
	intervalUninterruptible = 10 * time.Millisecond // between two looks
)

// uninterruptible waits a little for the threads that are in an uninterruptible sleep, and refuses those that have not woken
// up. The program runs on meanwhile.
func uninterruptible(pid int) obstacle.List {
	asleep := make(map[int]uint64) // by TID: how often it had been switched when first seen
	tids, err := proc.Tasks(pid)
	for _, tid := range tids {
		s, err := proc.Read(pid, fmt.Sprintf("task/%d/stat", tid), proc.Stat)
		if err == nil && s.State == 'D' {
			asleep[tid] = switches(pid, tid)
		}
	}
	begun := time.Now()
	for err == nil && len(asleep) > 0 && time.Since(begun) < timeoutAsleep(pid, asleep) {
		time.Sleep(intervalUninterruptible)
		for tid, count := range asleep {
			s, err := proc.Read(pid, fmt.Sprintf("task/%d/stat", tid), proc.Stat)
			if err != nil || s.State != 'D' || switches(pid, tid) != count {
				delete(asleep, tid)
			}
		}
	}
	var list obstacle.List
	for _, tid := range tids {
		if _, still := asleep[tid]; still {
			list = append(list, obstacle.Obstacle{
				Pid:   pid,
				Where: fmt.Sprintf("thread %d", tid),
				What:  doing(pid, tid),
				Why:   "an uninterruptible sleep, in which it takes no signal, and which lasts",
				Do:    whenOver(pid, tid),
			})
		}
	}
	return list
}

// asleep does the same for all members.
func (c *checkpoint) asleep() (all obstacle.List) {
	for _, m := range c.members {
		all = append(all, uninterruptible(m.pid)...)
	}
	return all
}

// timeoutAsleep is how long to wait for threads to wake up. A thread in vfork(2) waits until its child has executed a program or
// ended.
func timeoutAsleep(pid int, asleep map[int]uint64) time.Duration {
	for tid := range asleep {
		if !inVfork(pid, tid) {
			return timeoutUninterruptible
		}
	}
	return timeoutVfork
}

// inVfork tells whether a thread that sleeps does so in vfork(2), or in another call that makes a process.
func inVfork(pid, tid int) bool {
	s, err := proc.Read(pid, fmt.Sprintf("task/%d/syscall", tid), proc.Syscall)
	return err == nil && !s.Running && (s.Number == unix.SYS_VFORK || s.Number == unix.SYS_CLONE || s.Number == unix.SYS_CLONE3)
}

// whenOver tells what to do about a thread that takes no signal.
func whenOver(pid, tid int) string {
	if inVfork(pid, tid) {
		for _, child := range childrenOf(pid) {
			if sharesMemory(child, pid) {
				return fmt.Sprintf("try again when its child, pid %d, has executed a program or ended", child)
			}
		}
	}
	return "try again when the call is over"
}

// switches is how often a thread has given up or lost its processor: in a sleep that goes on that does not change.
func switches(pid, tid int) uint64 {
	status, err := proc.Read(pid, fmt.Sprintf("task/%d/status", tid), proc.Status)
	if err != nil {
		return 0
	}
	return status.VoluntarySwitches + status.InvoluntarySwitches
}
