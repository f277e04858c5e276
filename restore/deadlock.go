package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// timedOut is called when no event has come for a while. It looks for what has gone wrong, more and more seldom: a look at a large group takes
// long.
func (c *coordinator) timedOut(ctx context.Context) error {
	c.timeouts++
	if n := c.timeouts; n&(n-1) != 0 && n%16 != 0 {
		return nil
	}
	if err := c.look(ctx); err != nil {
		return err
	}
	return c.deadlock()
}

// deadlockTimeout is how long no event has come when deadlock looks: before, a process may have been about to go on. Only a test changes it.
var deadlockTimeout = 150 * time.Millisecond

// deadlock detects that a process was killed whose end look does not find: a member before its first message, or a helper. Other
// processes then wait for it for ever, in calls that wait for processes or for crak.
func (c *coordinator) deadlock() error {
	if c.reached[stageReady] == len(c.group.members) {
		return c.checkRunning()
	}
	if err := c.stuck(); err != nil {
		return err
	}
	if time.Duration(c.timeouts)*pollTimeout < deadlockTimeout || c.filling.Load() > 0 {
		return nil
	}
	// The processes are looked at one after the other. If none of them has run between two looks, all were waiting at the same time. What
	// they had sent before can now be received.
	look := c.waiting()
	if look == nil || !maps.Equal(look, c.waiting()) {
		return nil
	}
	if pending, err := c.events.pending(); pending || err != nil {
		return err
	}
	if why := c.reason(); why != nil {
		return why
	}
	for _, m := range c.group.members {
		if m.stage == stageNone {
			return fmt.Errorf("pid %d: ended while it was restored", m.pid())
		}
	}
	return errors.New("a process that creates other processes has ended, and they wait for it")
}

// goTimeout is how long a member that is ready may take to run, after the last message of any member.
const goTimeout = time.Minute

// checkRunning returns an error if a member that is ready does not run. Another process may have stopped it, or the machine may be out of memory.
func (c *coordinator) checkRunning() error {
	if time.Duration(c.timeouts)*pollTimeout < goTimeout {
		return nil
	}
	for _, m := range c.group.members {
		if m.stage < stageRuns {
			stat, _ := proc.Read(m.seen, "stat", proc.Stat)
			return fmt.Errorf("pid %d: is ready, but does not run after %v (state %c)", m.pid(), goTimeout, max(stat.State, '?'))
		}
	}
	return nil
}

// waiting tells how often each thread of the restart has been scheduled, if all threads are in calls in which a restart waits for other
// processes or for crak. It returns nil if one is not, or if that cannot be seen.
func (c *coordinator) waiting() map[int]uint64 {
	all := make(map[int]uint64)
	for _, pid := range c.family.descendants() {
		threads, err := proc.Tasks(pid)
		if err != nil {
			return nil
		}
		for _, tid := range threads {
			task := "task/" + strconv.Itoa(tid)
			status, err := proc.Read(pid, task+"/status", proc.Status)
			if err != nil || status.State != 'Z' && status.State != 'T' && !isWaiting(pid, task) {
				return nil
			}
			all[tid] = status.VoluntarySwitches + status.InvoluntarySwitches
		}
	}
	return all
}

func isWaiting(pid int, task string) bool {
	call, err := proc.Read(pid, task+"/syscall", proc.Syscall)
	if err != nil || call.Running {
		return false
	}
	switch call.Number {
	case unix.SYS_FUTEX, unix.SYS_WAITID, unix.SYS_READ:
		return true
	}
	return false
}
