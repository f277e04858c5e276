package coord

import (
	"cmp"
	"fmt"
	"runtime/debug"
	"time"

	"crak.dev/crak/dump"
	"crak.dev/crak/internal/obstacle"
)

// save writes the content of the image. It first copies what a fork does not hold still. It then makes the twin, and writes the
// private memory of the twin while the program runs. Without a twin it writes the memory of the frozen program.
func (c *checkpoint) save() error {
	if err := c.member.dump.SaveFrozen(c.writer); err != nil {
		return err
	}
	if err := dump.SaveContents(c.writer, &c.table); err != nil {
		return err
	}
	if c.Kill {
		if err := c.writer.Release(); err != nil { // the writer was held for the sake of the program, which will not run again
			return err
		}
		return c.saveFrozen(c.writer.Put)
	}
	if c.noTwin != "" {
		return c.saveStill()
	}
	twin, err := c.member.conn.Snapshot()
	if err != nil { // refused (EAGAIN, ENOMEM)
		c.noTwin = fmt.Sprintf("the program could not fork: %v", err)
		if c.needTwin {
			return obstacle.List{{Pid: c.Pid, What: "no twin", Why: c.noTwin, Do: "raise the limits of the program (ulimit -u, pids.max, memory), or use CRAK_TWIN=auto"}}
		}
		return c.saveStill()
	}
	if err := cmp.Or(c.member.conn.Confirm(), c.member.conn.Resume()); err != nil {
		return err
	}
	c.resumed()
	pid, memory, err := c.member.dump.Twin(twin, c.since)
	if err != nil {
		return err
	}
	c.member.twin = pid
	if err := c.member.dump.Confirm(c.member.twin); err != nil {
		return err
	}
	if err := c.writer.Release(); err != nil {
		return err
	}
	return c.member.dump.SavePrivate(c.writer.Put, memory)
}

// saveFrozen writes the private memory of the frozen program.
func (c *checkpoint) saveFrozen(put dump.Put) error {
	if err := c.member.dump.Confirm(c.member.live); err != nil {
		return err
	}
	memory, err := c.member.dump.Memory(c.member.live)
	if err != nil {
		return err
	}
	return c.member.dump.SavePrivate(put, memory)
}

// saveStill writes the private memory of the frozen program and resumes the program.
func (c *checkpoint) saveStill() error {
	if err := c.saveFrozen(c.writer.PutSync); err != nil {
		return err
	}
	if err := cmp.Or(c.member.conn.Confirm(), c.member.conn.Resume()); err != nil {
		return err
	}
	c.resumed()
	return c.writer.Release()
}

// resumed notes the end of the pause. The program runs from now on.
func (c *checkpoint) resumed() {
	c.pause = time.Since(c.frozen)
	c.silence()
	c.stoppable()
	debug.SetGCPercent(100)
	lowerPriority()
}
