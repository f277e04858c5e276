package restore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// quiet is called when no event has come for a while. It looks for what has gone wrong, more and more seldom: a look at a large group takes
// long.
func (c *conductor) quiet(ctx context.Context) error {
	c.timeouts++
	if n := c.timeouts; n&(n-1) != 0 && n%16 != 0 {
		return nil
	}
	if err := c.look(ctx); err != nil {
		return err
	}
	return c.deadlock()
}

// deadlockPatience is how long no event has come when deadlock looks: before, a process may have been about to go on.
const deadlockPatience = 150 * time.Millisecond

// deadlock detects that a process was killed whose end look does not find: a member before its first message, or a helper. Other
// processes then wait for it for ever, in calls that wait for processes or for crak.
func (c *conductor) deadlock() error {
	if c.reached[stageReady] == len(c.group.members) {
		return c.late()
	}
	if err := c.stuck(); err != nil {
		return err
	}
	if time.Duration(c.timeouts)*eventPatience < deadlockPatience || c.filling.Load() > 0 {
		return nil
	}
	for _, pid := range c.family.descendants() {
		if !isWaiting(pid) {
			return nil
		}
	}
	if why := c.reason(); why != nil {
		return why
	}
	for _, m := range c.group.members {
		if m.stage == stageNone {
			return fmt.Errorf("pid %d: ended while it was restored", m.pid())
		}
	}
	return errors.New("a process that makes others ended, and they wait for it")
}

// goPatience is how long a member that is ready may take to run, after the last message of any member.
const goPatience = time.Minute

// late returns an error if a member that is ready does not run. Another process may have stopped it, or the machine may be out of memory.
func (c *conductor) late() error {
	if time.Duration(c.timeouts)*eventPatience < goPatience {
		return nil
	}
	for _, m := range c.group.members {
		if m.stage < stageRuns {
			stat, _ := proc.Read(m.seen, "stat", proc.Stat)
			return fmt.Errorf("pid %d: is ready, but does not run after %v (state %c)", m.pid(), goPatience, max(stat.State, '?'))
		}
	}
	return nil
}

// isWaiting tells whether all threads of a process are in calls in which a restart waits for other processes or for crak. It is
// false if that cannot be seen.
func isWaiting(pid int) bool {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil {
		return false
	}
	if stat.State == 'Z' || stat.State == 'T' {
		return true
	}
	threads, err := proc.Tasks(pid)
	if err != nil {
		return false
	}
	for _, tid := range threads {
		call, err := proc.Read(pid, "task/"+strconv.Itoa(tid)+"/syscall", proc.Syscall)
		if err != nil || call.Running {
			return false
		}
		switch call.Number {
		case unix.SYS_FUTEX, unix.SYS_WAITID, unix.SYS_READ:
		default:
			return false
		}
	}
	return true
}
