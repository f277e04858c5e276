package coord

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"crak.dev/crak/dump"
	"crak.dev/crak/internal/obstacle"
)

// save writes the content of the image. It first copies what a fork does not hold still. It then makes the twins, and writes
// their private memory while the members run. Without twins it writes the memory of the frozen members.
func (c *checkpoint) save() error {
	if err := dump.SaveFrozen(c.dumps(), c.writer, c.copies); err != nil {
		return err
	}
	if err := dump.SaveContents(c.writer, &c.table); err != nil {
		return err
	}
	if c.Kill {
		if err := c.writer.Release(); err != nil { // the writer was held for the sake of the program, which will not run again
			return err
		}
		return c.saveFrozen(c.writer.PutLike)
	}
	if c.noTwin != "" {
		return c.saveStill()
	}
	err := c.snapshot()
	if refused, ok := errors.AsType[*noTwinError](err); ok {
		return c.withoutTwins(refused)
	}
	if err != nil {
		return err
	}
	if err := c.resume(); err != nil {
		return err
	}
	return c.saveTwins()
}

// snapshot makes a twin of every member. All members are frozen until all have one.
func (c *checkpoint) snapshot() error {
	return c.each(func(m *member) error { return m.snapshot(c.since) })
}

// withoutTwins saves the memory of the frozen members, because one of them could not fork. The twins of the others are ended:
// they would cost memory.
func (c *checkpoint) withoutTwins(refused *noTwinError) error {
	c.noTwin = refused.Error()
	if len(c.members) > 1 {
		c.noTwin = fmt.Sprintf("pid %d: %s", refused.pid, c.noTwin)
	}
	if c.needTwin {
		return obstacle.List{{Pid: refused.pid, What: "no twin", Why: refused.Error(), Do: "raise the limits of the program (ulimit -u, pids.max, memory), or use CRAK_TWIN=auto"}}
	}
	err := c.each(func(m *member) error {
		if m.twin == nil {
			return nil
		}
		err := m.dump.EndTwin(m.twin)
		m.twin = nil
		return err
	})
	if err != nil {
		return err
	}
	return c.saveStill()
}

// saveTwins writes the private memory of the twins.
func (c *checkpoint) saveTwins() error {
	memories := make([]*dump.Memory, len(c.members))
	err := inParallel(len(c.members), func(i int) (err error) {
		m := c.members[i]
		if memories[i], err = m.dump.OpenTwin(m.twin); err != nil {
			return err
		}
		return m.dump.Confirm(m.twin.Pid)
	})
	if err != nil {
		return err
	}
	if err := c.writer.Release(); err != nil {
		return err
	}
	return dump.SavePrivate(c.dumps(), memories, c.writer.PutLike)
}

// saveFrozen writes the private memory of the frozen members.
func (c *checkpoint) saveFrozen(put dump.Put) error {
	for _, m := range c.members {
		if err := m.dump.Confirm(m.live); err != nil {
			return err
		}
	}
	memories := make([]*dump.Memory, len(c.members))
	for i, m := range c.members {
		var err error
		if memories[i], err = m.dump.Memory(m.live); err != nil {
			return err
		}
	}
	return dump.SavePrivate(c.dumps(), memories, put)
}

// saveStill writes the private memory of the frozen members and resumes them.
func (c *checkpoint) saveStill() error {
	if err := c.saveFrozen(c.writer.PutLikeSync); err != nil {
		return err
	}
	if err := c.resume(); err != nil {
		return err
	}
	return c.writer.Release()
}

// resume checks that every member was frozen until now, and resumes all. The pause is over. It lasts from the first freeze to
// the last RESUME.
func (c *checkpoint) resume() error {
	if err := c.each((*member).confirm); err != nil {
		return err
	}
	if err := c.each(func(m *member) error { return m.resume(m.conn.Resume) }); err != nil {
		return err
	}
	first := c.root().stopped
	for _, m := range c.members {
		if m.stopped.Before(first) {
			first = m.stopped
		}
	}
	c.pause = time.Since(first)
	c.frozen.end()
	c.stoppable()
	debug.SetGCPercent(100)
	lowerPriority()
	return nil
}
