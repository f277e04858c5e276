package coord

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"crak.dev/crak/dump"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// save writes the content of the image. It first copies what a twin does not preserve. It then makes the twins, and writes
// their private memory while the members run. Without twins it writes the memory of the frozen members.
func (c *checkpoint) save() error {
	defer func() { c.files.Close() }()
	if err := c.saveAll(); err != nil {
		return err
	}
	return c.files.Record()
}

func (c *checkpoint) saveAll() error {
	if err := dump.SaveFrozen(c.dumps(), c.writer, c.copies); err != nil {
		return err
	}
	if err := dump.SaveContents(c.writer, &c.table); err != nil {
		return err
	}
	if err := c.saveFiles(); err != nil {
		return err
	}
	c.table.Release()
	if c.Kill {
		// With --kill the program does not run again, so the writer may wait for the disk.
		if err := c.writer.Release(); err != nil {
			return err
		}
		return c.saveFrozen(c.writer.PutLike)
	}
	if err := c.planOrphans(); err != nil {
		return err
	}
	if c.noTwin != "" {
		return c.saveStill()
	}
	c.at("snapshot")
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

// planOrphans makes no twins if a member is the subreaper of others: if one of these ended before its twin, the subreaper would
// get the twin as a child that it does not know, and wait(2) would return it.
func (c *checkpoint) planOrphans() error {
	for _, m := range c.members {
		if !m.dump.IsSubreaper() || !slices.ContainsFunc(c.members, func(other *member) bool { return other.parent() == m.pid }) {
			continue
		}
		c.noTwin = fmt.Sprintf("pid %d is a subreaper (PR_SET_CHILD_SUBREAPER): the twin of a process that ends would become its child", m.pid)
		if c.needTwin {
			return obstacle.List{{Pid: m.pid, What: "no twin", Why: c.noTwin,
				Do: "let the program be frozen while its memory is written: CRAK_TWIN=auto"}}
		}
	}
	return nil
}

// parent is the parent of a process in the writer's PID namespace, or 0 if it has ended.
func (m *member) parent() int {
	stat, err := proc.Read(m.pid, "stat", proc.Stat)
	if err != nil {
		return 0
	}
	return stat.PPid
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
	c.at("twins")
	open := c.opening(func(m *member) (*dump.Memory, error) { return m.dump.OpenTwin(m.twin) })
	err := inParallel(len(c.members), c.atOnce, func(i int) error {
		memory, err := open(i) // Confirm reads what belongs to the same process
		if err != nil {
			return err
		}
		defer memory.Close()
		m := c.members[i]
		return m.as(func() error { return m.dump.Confirm(m.twin.Pid) })
	})
	if err != nil {
		return err
	}
	if err := c.writer.Release(); err != nil {
		return err
	}
	return dump.SavePrivate(c.dumps(), open, c.writer.PutLike)
}

// opening opens memory of the member with a number, with the member's rights.
func (c *checkpoint) opening(open func(*member) (*dump.Memory, error)) func(i int) (*dump.Memory, error) {
	return func(i int) (memory *dump.Memory, err error) {
		m := c.members[i]
		err = m.as(func() error {
			memory, err = open(m)
			return err
		})
		return memory, err
	}
}

// saveFrozen writes the private memory of the frozen members.
func (c *checkpoint) saveFrozen(put dump.Put) error {
	for _, m := range c.members {
		if err := m.as(func() error { return m.dump.Confirm(m.live) }); err != nil {
			return err
		}
	}
	open := c.opening(func(m *member) (*dump.Memory, error) { return m.dump.Memory(m.live) })
	return dump.SavePrivate(c.dumps(), open, put)
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
	c.at("resume")
	if err := c.each((*member).confirm); err != nil {
		return err
	}
	c.frozen.end()
	if err := c.each(func(m *member) error { return m.resume(m.conn.Resume) }); err != nil {
		return err
	}
	c.table.ReleaseConnections()
	first := c.root().stopped
	for _, m := range c.members {
		if m.stopped.Before(first) {
			first = m.stopped
		}
	}
	c.pause = time.Since(first)
	c.stoppable()
	debug.SetGCPercent(100)
	if c.Resumed != nil {
		c.Resumed()
	}
	return nil
}
