package coord

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/dump"
	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// query asks the resident who it is and which settings the program was started with. The program is not stopped.
func (c *checkpoint) query() error {
	var err error
	if c.member.live, err = liveThread(c.Pid); err != nil {
		return err
	}
	if c.listener, err = resident.Listen(); err != nil {
		return err
	}
	c.listener.Handed = c.Secret
	if c.Rights != nil {
		c.listener.Memory = c.Rights.memory
	}
	defer context.AfterFunc(c.Context, c.listener.Interrupt)()
	conn, err := c.order(abi.OrderQuery, patienceAnswer)
	if err != nil {
		c.listener.Close()
		return err
	}
	conn.Left()
	conn.Close()
	c.settings = conn.Settings
	c.member.dumpable = conn.Hello.Dumpable == 1
	c.member.holds = int(conn.Hello.Holds)
	c.member.trigger = int(conn.Hello.Trigger)
	return nil
}

// survey collects the obstacles that are visible before the freeze. It also brings the writer's own code into memory, which
// makes the pause shorter. The files in /proc of a program that is not dumpable cannot be read before the freeze.
func (c *checkpoint) survey() error {
	var table fd.Table
	var err error
	c.member.known, err = dump.Survey(c.Pid, c.member.live, c.Overrides, &table)
	if err != nil && (c.member.dumpable || !errors.Is(err, os.ErrPermission)) {
		return err
	}
	return table.Obstacles.Err()
}

// create makes the image's hidden directory.
func (c *checkpoint) create() error {
	stat, err := proc.Read(c.Pid, "stat", proc.Stat)
	if err != nil {
		return fmt.Errorf("pid %d: %w", c.Pid, err)
	}
	status, err := proc.Read(c.Pid, "status", proc.Status)
	if err != nil {
		return fmt.Errorf("pid %d: %w", c.Pid, err)
	}
	pid := insidePid(status)
	compress, err := c.compress()
	if err != nil {
		return err
	}
	c.writer, err = image.Create(c.directory(), image.Options{
		Program:  stat.Comm,
		Pid:      image.Pid(pid),
		Output:   c.Output,
		Parent:   c.Parent,
		Compress: compress,
		Confirm:  c.confirm,
	})
	if err == nil && c.Progress != nil {
		c.Progress(c.writer)
	}
	return err
}

// freeze has the resident park every thread of the program.
func (c *checkpoint) freeze() error {
	var err error
	if c.since, err = ticks(); err != nil {
		return err
	}
	if c.member.conn, err = c.order(abi.OrderFreeze, patienceHold); err != nil {
		return err
	}
	c.frozen = time.Now()
	if c.member.dump.Threads, err = c.member.conn.Frozen(patienceFreeze); err != nil {
		c.member.conn.Close()
		return explain(err)
	}
	c.member.dump.Conn = c.member.conn
	return nil
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
