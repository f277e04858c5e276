package coord

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/resident"
)

// freeze freezes all members. A frozen process has no new children. So it looks for further descendants until every process
// that it finds is frozen.
func (c *checkpoint) freeze() error {
	var err error
	if c.since, err = ticks(); err != nil {
		return err
	}
	if err := c.lockAll(); err != nil { // members that the survey has found
		return err
	}
	c.forget()
	for range looksBefore { // so that the looks during the freeze are shorter
		found := c.findByID(c.known())
		if c.unsure = c.unsure || len(found) > 0; !c.unsure {
			break
		}
	}
	fresh := c.members
	var late []*member     // since the survey
	var deadline time.Time // a program alone may wait for crak_release before it is frozen
	for {
		if len(c.members) > 1 && deadline.IsZero() {
			deadline = time.Now().Add(timeoutGroup)
		}
		if err := c.freezeMembers(fresh, deadline); err != nil {
			return err
		}
		c.prune()
		var found []int
		if found, c.zombies = c.lookUntilSure(); len(found) == 0 {
			for _, m := range c.members {
				if err := m.settleStop(); err != nil {
					return err
				}
			}
			return append(c.dependencies(), togetherWithParent(late)...).Err()
		}
		if !deadline.IsZero() && time.Now().After(deadline) {
			return fmt.Errorf("pid %d: its descendants fork faster than they can be frozen: after %.0f s %d are frozen, and new ones appear",
				c.Pid, timeoutGroup.Seconds(), len(c.members))
		}
		if fresh, err = c.admit(found); err != nil {
			return err
		}
		late = append(late, fresh...)
		for _, m := range fresh {
			if err := m.lock(); err != nil && !c.drops(m, err) {
				return err
			}
			c.prepare(m)
		}
	}
}

// lookUntilSure looks until a look finds a process, or can have missed none. Other programs of the machine may start and end
// processes all the time, and each look may see such an end. So the looks have a bound.
func (c *checkpoint) lookUntilSure() (pids []int, zombies []image.Zombie) {
	for deadline, looks := time.Now().Add(timeoutUnsure), 1; ; looks++ {
		pids, zombies = c.look()
		if len(pids) > 0 || !c.unsure || looks >= looksUnsure && time.Now().After(deadline) {
			return pids, zombies
		}
	}
}

// freezeMembers freezes some members at the same time, until a deadline if that is not zero. If one fails, it does not wait for the others.
func (c *checkpoint) freezeMembers(members []*member, deadline time.Time) error {
	timeout := timeoutHold
	if len(c.members) > 1 {
		timeout = timeoutHoldFrozen
	}
	ctx, giveUp := context.WithCancelCause(c.Context)
	defer giveUp(nil)
	if !deadline.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, deadline)
		defer stop()
	}
	inParallel(len(members), c.atOnce, func(i int) error {
		m := members[i]
		if m.dropped || ctx.Err() != nil {
			return nil
		}
		err := m.freeze(ctx, timeout)
		if err == nil {
			c.frozen.add(m.conn)
			c.moved()
		} else if !c.drops(m, err) {
			giveUp(err) // the first error counts: the others are its consequences
		}
		return nil
	})
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		for _, m := range members {
			if m.conn == nil && !m.dropped {
				return fmt.Errorf("pid %d: %w, and the other processes of the group are not kept frozen for longer than %.0f s",
					m.pid, resident.ErrNoAnswer, timeoutGroup.Seconds())
			}
		}
	}
	return context.Cause(ctx)
}

// ticks is the time since boot in the unit of /proc/PID/stat.
func ticks() (uint64, error) {
	const perSecond = 100 // USER_HZ
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, fmt.Errorf("clock: %w", err)
	}
	return uint64(now.Nano()) / (1e9 / perSecond), nil
}
