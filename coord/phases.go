package coord

import (
	"fmt"
	"slices"
	"time"

	"crak.dev/crak/dump"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// queryAll queries all members. If a member is in a section between crak_hold and crak_release, it waits until no member is: the
// other members would stand still until this one leaves the section.
func (c *checkpoint) queryAll() error {
	for deadline := time.Now().Add(timeoutHold); ; time.Sleep(intervalHold) { // a resident does not report that a section has ended
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
	intervalHold      = 50 * time.Millisecond // between two queries whether a member has called crak_release
	timeoutHoldFrozen = 5 * time.Second       // for crak_release while other members are frozen
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

// prepare makes a new reader for a member that is to be frozen.
func (c *checkpoint) prepare(m *member) {
	m.dump = c.reader(m)
	m.early = m.dump.Early()
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
