package coord

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"time"

	"crak.dev/crak/dump"
	"crak.dev/crak/internal/obstacle"
)

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
		time.Sleep(time.Duration(again) * intervalSurvey) // the kernel has no event for the end of such a change
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
	if list := append(c.dependencies(), together(c.members)...); len(list) > 0 {
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
	c.outside = c.outside || c.table.HasOutside
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
		list = slices.DeleteFunc(list, isDescriptor)
	}
	return list, cmp.Or(errs...)
}
