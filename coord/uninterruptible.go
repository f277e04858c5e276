package coord

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// A thread in an uninterruptible sleep (state D) takes no signal. The other threads must not stand still because of it, so the
// writer looks at its state before the freeze, and again before each further attempt (passing.go).

const (
	timeoutUninterruptible  = 5 * time.Second        // for a slow disk, or for a child of vfork(2) to execute a program
	leastUninterruptible    = 100 * time.Millisecond // for each process, however many there are
	intervalUninterruptible = 10 * time.Millisecond  // between two looks
)

// asleep waits for the threads of all members that are in an uninterruptible sleep, and refuses those that have not woken up. The
// program runs on meanwhile.
func (c *checkpoint) asleep() error {
	until := time.Now().Add(timeoutUninterruptible)
	lists := make([]obstacle.List, len(c.members))
	inParallel(len(c.members), c.atOnce, func(i int) error {
		lists[i] = uninterruptible(c.members[i].pid, until)
		return nil
	})
	list := slices.Concat(lists...)
	c.adviseSkip(list)
	return list.Err()
}

// uninterruptible does that for one process.
func uninterruptible(pid int, until time.Time) (list obstacle.List) {
	asleep := make(map[int]uint64) // by TID: how often it had been switched when first seen
	tids, err := proc.Tasks(pid)
	for _, tid := range tids {
		if isAsleep(pid, tid) {
			asleep[tid] = switches(pid, tid)
		}
	}
	if least := time.Now().Add(leastUninterruptible); until.Before(least) {
		until = least
	}
	for err == nil && len(asleep) > 0 && time.Now().Before(until) {
		time.Sleep(intervalUninterruptible)
		for tid, count := range asleep {
			if !isAsleep(pid, tid) || switches(pid, tid) != count {
				delete(asleep, tid)
			}
		}
	}
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

// isAsleep tells whether a thread is in an uninterruptible sleep.
func isAsleep(pid, tid int) bool {
	s, err := proc.Read(pid, fmt.Sprintf("task/%d/stat", tid), proc.Stat)
	return err == nil && s.State == 'D'
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
