package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/dump"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// queryAll queries all members. If a member is in a section between crak_hold and crak_release, it waits until no member is: the
// other members would stand still until this one leaves the section.
func (c *checkpoint) queryAll() error {
	for deadline := time.Now().Add(patienceHold); ; time.Sleep(intervalHold) {
		err := c.each(func(m *member) error {
			err := c.query(m)
			if err != nil && c.drops(m, err) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		c.prune()
		c.settings = c.root().settings
		c.moved()
		held := slices.ContainsFunc(c.members, func(m *member) bool { return m.holds > 0 })
		if !held || len(c.members) == 1 || time.Now().After(deadline) || c.Context.Err() != nil {
			return c.Context.Err()
		}
	}
}

const (
	intervalHold       = 50 * time.Millisecond // between two queries whether a member has called crak_release
	patienceHoldFrozen = 5 * time.Second       // for crak_release while other members are frozen
)

// reader returns a new reader of a member, with an empty record.
func (c *checkpoint) reader(m *member) *dump.Member {
	known := dump.Known{Holders: c.holders}
	if m.dump != nil {
		known = m.dump.Known
	}
	return &dump.Member{
		Pid:           m.pid,
		Live:          m.live,
		As:            m.doAs(),
		Table:         &c.table,
		Known:         known,
		Overrides:     c.overrides(m),
		WithFiles:     c.WithFiles || c.settings["CRAK_WITH_FILES"] == "1",
		SelfContained: c.SelfContained || c.settings["CRAK_SELF_CONTAINED"] == "1",
	}
}

// surveys is how many surveys must find an obstacle. Before the second one the writer waits for intervalSurvey, before the third
// one for twice as long. What makes a survey wrong lasts for milliseconds (see survey), and the kernel has no event for its end.
const (
	surveys        = 3
	intervalSurvey = 50 * time.Millisecond
)

// survey collects the obstacles that are visible before the freeze. It also brings the writer's own code into memory, which
// makes the pause shorter. The files in /proc of a program that is not dumpable cannot be read before the freeze.
//
// A group changes during a survey. For example, a process that has just been forked may have the other end of a pipe, and the
// survey takes the pipe for one to a process outside. So only obstacles count that every survey finds. The freeze finds the others.
func (c *checkpoint) survey() error {
	list, err := c.surveyOnce()
	for again := 1; again < surveys && err == nil && len(list) > 0; again++ {
		time.Sleep(time.Duration(again) * intervalSurvey)
		if err := c.findAll(); err != nil {
			return err
		}
		var now obstacle.List
		now, err = c.surveyOnce()
		list = slices.DeleteFunc(list, func(o obstacle.Obstacle) bool { return !slices.Contains(now, o) })
	}
	return cmp.Or(err, list.Err())
}

// surveyOnce surveys the members. Where one of them has ended meanwhile, it surveys the others again.
func (c *checkpoint) surveyOnce() (obstacle.List, error) {
	for {
		before := len(c.members)
		list, err := c.surveyMembers()
		c.prune()
		if err == nil && len(list) == 0 || len(c.members) == before {
			return list, err
		}
	}
}

func (c *checkpoint) surveyMembers() (obstacle.List, error) {
	if list := append(c.hanging(), together(c.members)...); len(list) > 0 {
		return list, nil
	}
	all := make([]*dump.Member, len(c.members))
	for i, m := range c.members {
		m.dump = nil
		m.dump = c.reader(m)
		all[i] = m.dump
	}
	errs := dump.Survey(all)
	list := c.table.Obstacles
	if c.Explain {
		c.explainDescriptors()
	}
	c.table.Again()
	for i, err := range errs {
		m := c.members[i]
		refused := slices.ContainsFunc(list, func(o obstacle.Obstacle) bool { return o.Pid == m.pid })
		switch {
		case err == nil && !refused:
			continue
		case m.pid != c.Pid && (m.isGone() || m.isAnother()): // it is looked at again during the freeze
			m.dropped = true
			if !m.isGone() {
				c.again = append(c.again, m.pid)
			}
		case errors.Is(err, os.ErrPermission) && !m.dumpable:
			m.hidden = true
			errs[i] = nil
		}
	}
	if slices.ContainsFunc(c.members, func(m *member) bool { return m.hidden }) {
		// A hidden member may have the other end of a pipe or socket. The freeze finds out.
		list = slices.DeleteFunc(list, func(o obstacle.Obstacle) bool { return strings.HasPrefix(o.Where, "fd ") })
	}
	return list, cmp.Or(errs...)
}

// create makes the image's hidden directory.
func (c *checkpoint) create() error {
	program, pid, err := c.name()
	if err != nil {
		return err
	}
	compress, err := c.compress()
	if err != nil {
		return err
	}
	c.writer, err = image.Create(c.directory(), image.Options{
		Program:  program,
		Pid:      pid,
		Output:   c.Output,
		Parent:   c.Parent,
		Compress: compress,
		Confirm:  c.confirm,
	})
	if err == nil {
		c.writing.Store(c.writer)
	}
	if err == nil && c.Progress != nil {
		c.Progress(c.writer, c.pids())
	}
	return err
}

// pids are the PIDs of the members.
func (c *checkpoint) pids() (all []int) {
	for _, m := range c.members {
		all = append(all, m.pid)
	}
	return all
}

// name is what the directory with the images of the program is named after.
func (c *checkpoint) name() (program string, pid image.Pid, err error) {
	stat, err := proc.Read(c.Pid, "stat", proc.Stat)
	if err != nil {
		return "", 0, fmt.Errorf("pid %d: %w", c.Pid, err)
	}
	status, err := proc.Read(c.Pid, "status", proc.Status)
	if err != nil {
		return "", 0, fmt.Errorf("pid %d: %w", c.Pid, err)
	}
	return stat.Comm, image.Pid(insidePid(status)), nil
}

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
	var late []*member // since the survey
	for deadline := time.Now().Add(patienceStorm); ; {
		if err := c.freezeMembers(fresh); err != nil {
			return err
		}
		c.prune()
		var found []int
		if found, c.zombies = c.lookUntilSure(); len(found) == 0 {
			return append(c.hanging(), togetherWithParent(late)...).Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("pid %d: its descendants fork faster than they can be frozen: after %.0f s %d are frozen, and new ones appear",
				c.Pid, patienceStorm.Seconds(), len(c.members))
		}
		if fresh, err = c.admit(found); err != nil {
			return err
		}
		late = append(late, fresh...)
		for _, m := range fresh {
			if err := m.lock(); err != nil && !c.drops(m, err) {
				return err
			}
			m.dump = c.reader(m)
		}
	}
}

// lookUntilSure looks until a look finds a process, or can have missed none. Other programs of the machine may start and end
// processes all the time, and each look may see such an end. So the looks have a bound.
func (c *checkpoint) lookUntilSure() (pids []int, zombies []image.Zombie) {
	for deadline, looks := time.Now().Add(patienceUnsure), 1; ; looks++ {
		pids, zombies = c.look()
		if len(pids) > 0 || !c.unsure || looks >= looksUnsure && time.Now().After(deadline) {
			return pids, zombies
		}
	}
}

// freezeMembers freezes some members at the same time. If one fails, it does not wait for the others.
func (c *checkpoint) freezeMembers(members []*member) error {
	patience := patienceHold
	if len(c.members) > 1 {
		patience = patienceHoldFrozen
	}
	ctx, giveUp := context.WithCancelCause(c.Context)
	defer giveUp(nil)
	inParallel(len(members), c.atOnce, func(i int) error {
		m := members[i]
		if m.dropped || ctx.Err() != nil {
			return nil
		}
		err := m.freeze(ctx, patience)
		if err == nil {
			c.frozen.add(m.conn)
			c.moved()
		} else if !c.drops(m, err) {
			giveUp(err) // the first error counts: the others are its consequences
		}
		return nil
	})
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
