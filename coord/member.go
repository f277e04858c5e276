package coord

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"crak.dev/crak/dump"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/rights"
	"crak.dev/crak/internal/tracer"
)

// member is what a checkpoint knows of one process of the group.
type member struct {
	pid   int
	live  int    // a live thread: the main thread may have exited
	start uint64 // when the process began, in clock ticks since boot: another process may get its PID later

	context context.Context
	rights  *Rights      // rights that the process must still have
	apart   *rights.User // the user that the writer becomes to look at the process; nil: the writer has the rights of the process
	key     resident.Key

	program  string // programOf, when the process was last found ready
	dumpable bool   // before the freeze
	hidden   bool   // its files in /proc could not be read before the freeze
	holds    int    // depth of crak_hold, at the last query
	trigger  int    // the signal that asks it for a checkpoint, or 0
	settings map[string]string

	processor processorTime // since the last order had no answer at first; zero: it was answered

	tracer   *tracer.Tracer     // traces the process, if it is stopped
	dropped  bool               // it is left out
	release  func()             // gives up the lock
	listener *resident.Listener // for the next order, or nil
	conn     *resident.Conn
	stopped  time.Time // when the resident connected for the freeze
	twin     *dump.Twin
	dump     *dump.Member        // reads the process
	early    *resident.Questions // go to the initiator with the order to freeze
}

// newMember describes a process that is to be a member.
func (c *checkpoint) newMember(pid int) (*member, error) {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil {
		return nil, resident.ErrEnded
	}
	m := &member{pid: pid, start: stat.StartTime, context: c.Context, rights: c.group}
	if m.live, err = liveThread(pid); err != nil {
		return nil, err
	}
	if stat.State == 'T' {
		if m.tracer, err = tracer.Stopped(pid); err != nil {
			return nil, obstacle.List{stopped(pid, err)}
		}
	}
	if pid == c.Starter {
		m.key.Handed = c.Secret
	}
	if pid == c.Pid {
		m.key.Memory = m.rights.memory
		return m, nil
	}
	if err := c.readRights(m); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// isGone tells whether the process has ended.
func (m *member) isGone() bool {
	stat, err := proc.Read(m.pid, "stat", proc.Stat)
	return err != nil || stat.StartTime != m.start || hasEnded(m.pid)
}

// lock takes the lock of the process.
func (m *member) lock() (err error) {
	if m.release == nil {
		m.release, err = lock(m.pid)
	}
	return err
}

// query asks the resident who it is and which settings the program was started with. The program is not stopped.
func (m *member) query() error {
	conn, err := m.orderAs(m.context, abi.OrderQuery, timeoutAnswer)
	if err != nil {
		return err
	}
	conn.Left()
	conn.Close()
	if m.tracer != nil {
		if err := m.tracer.Leave(); err != nil {
			return err
		}
	}
	m.settings = conn.Settings
	m.dumpable = conn.Hello.Dumpable == 1
	m.holds = int(conn.Hello.Holds)
	m.trigger = int(conn.Hello.Trigger)
	return nil
}

// freeze has the resident park every thread of the process. timeout is the longest wait for crak_release.
func (m *member) freeze(ctx context.Context, timeout time.Duration) error {
	if m.tracer != nil {
		m.tracer.Run()
	}
	conn, err := m.orderAs(ctx, abi.OrderFreeze, timeout)
	if err != nil {
		return err
	}
	m.stopped = time.Now()
	defer context.AfterFunc(ctx, conn.Interrupt)() // another member has failed, for example
	answer := timeoutFreeze
	if deadline, ok := ctx.Deadline(); ok {
		answer = min(answer, time.Until(deadline))
	}
	if m.dump.Threads, err = conn.Frozen(answer); err != nil {
		conn.Close()
		return explain(err)
	}
	m.conn, m.dump.Conn = conn, conn
	if m.tracer != nil {
		m.dump.Tracer = m.tracer.Do
	}
	return nil
}

// hasRights checks that the process, which has been captured, still has the rights that it must have.
func (m *member) hasRights() error {
	if stat, status, alive := m.dump.Leader(); alive {
		return m.rights.compare(m.pid, rightsFrom(m.pid, stat, status))
	}
	return m.rights.still(m.pid)
}

// resume lets the frozen process run on. If it was stopped, it is stopped again when the tracer detaches.
func (m *member) resume(end func() error) error {
	if m.tracer == nil {
		return end()
	}
	return cmp.Or(m.tracer.Pause(), end(), m.tracer.Leave())
}

// snapshot makes the frozen process fork its twin, and finds it. since is a moment before the freeze.
func (m *member) snapshot(since uint64) error {
	inside, err := m.conn.Snapshot()
	if err != nil {
		return &noTwinError{m.pid, err}
	}
	return m.as(func() (err error) {
		m.twin, err = m.dump.FindTwin(inside, since)
		return err
	})
}

// A noTwinError means that a process could not fork (EAGAIN, ENOMEM). It is still frozen.
type noTwinError struct {
	pid int
	err error
}

func (e *noTwinError) Error() string {
	return fmt.Sprintf("the program could not fork: %v", e.err)
}

func (e *noTwinError) Unwrap() error { return e.err }

// disconnect closes the connection. A frozen process runs on, and its twin exits.
func (m *member) disconnect() {
	m.closeListener()
	if m.conn != nil {
		m.resume(func() error {
			m.conn.Close()
			return nil
		})
		m.conn = nil
	}
}

// close releases the lock and the connection.
func (m *member) close() {
	m.disconnect()
	if m.tracer != nil {
		m.tracer.Close()
		m.tracer = nil
	}
	if m.release != nil {
		m.release()
		m.release = nil
	}
}
