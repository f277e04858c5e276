package restore

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/busypoll"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/compile"
	"crak.dev/crak/restore/program"
)

// A conductor leads one member and the interpreter through the restart, over their control sockets.
//
//	interpreter  ──makes──>  member  ── stage: mapped ──>  conductor
//	                                <── a byte: filled ──
//	                                 ── stage: ready  ──>  (of every member, before the first is told to go)
//	                                <── a byte: go     ──
//	                         resident ── a byte: runs  ──>
//
// Instead, the interpreter or the member can report that an instruction failed, or can die. Before all members are ready
// nothing of the user's is changed. After that nothing can fail.
type conductor struct {
	group  *group
	member *member
	pid    image.Pid
	seen   int            // the member's PID in our PID namespace
	ends   [2]unix.PollFd // our ends of the sockets of the interpreter and the member; -1 when the other end is closed
	gone   bool           // the interpreter has been waited for, or has become the member
	pidfd  int            // of a member that is not our child, once it exists; else -1
}

const (
	interpreterEnd = 0
	memberEnd      = 1
)

// A message comes from the interpreter or the member.
type message struct {
	report  program.Report
	success bool // the byte of the resident
}

func newConductor(g *group, m *member) *conductor {
	c := &conductor{group: g, member: m, pid: m.process.Pid, seen: int(m.process.Pid), pidfd: -1}
	if g.mode.First {
		c.seen, c.gone = g.interpreter.pid, true
	}
	for i, socket := range []*os.File{interpreterEnd: g.interpreter.control, memberEnd: m.control} {
		c.ends[i] = unix.PollFd{Fd: int32(socket.Fd()), Events: unix.POLLIN}
	}
	return c
}

// next returns the next message from the interpreter or the member. It returns io.EOF when the member's socket is closed. The
// interpreter exits after it has made the root, so the end of its socket means nothing.
func (c *conductor) next() (message, error) {
	for c.ends[memberEnd].Fd >= 0 {
		if _, err := busypoll.Poll(c.ends[:], forEver); err != nil {
			return message{}, fmt.Errorf("control sockets: poll: %w", err)
		}
		for i := range c.ends {
			if end := &c.ends[i]; end.Fd >= 0 && end.Revents != 0 {
				m, ok := receive(int(end.Fd))
				if ok {
					return m, nil
				}
				end.Fd = -1
			}
		}
	}
	return message{}, io.EOF
}

// forEver is long enough: the other ends of the sockets close when the processes that have them end.
const forEver = 24 * time.Hour

// receive reads one message. ok is false at the end of the socket.
func receive(socket int) (m message, ok bool) {
	buf := make([]byte, 64)
	for {
		n, err := unix.Read(socket, buf)
		switch {
		case err == unix.EINTR:
		case err != nil || n == 0:
			return m, false
		case n == 1:
			return message{success: true}, true
		default:
			m.report, _ = program.DecodeReport(buf[:n])
			return m, true
		}
	}
}

// conduct leads the member through the restart. It returns when the member runs.
func (c *conductor) conduct(ctx context.Context) error {
	defer context.AfterFunc(ctx, c.interrupt)()
	if err := c.reach(ctx, compile.StageMapped); err != nil {
		return err
	}
	if c.group.mode.Apart {
		var err error
		if c.pidfd, err = unix.PidfdOpen(c.seen, 0); err != nil {
			return fmt.Errorf("pid %d: pidfd_open: %w", c.pid, err)
		}
	}
	if err := c.fill(ctx); err != nil {
		return err
	}
	c.adjust()
	if err := c.goOn(); err != nil {
		return err
	}
	if err := c.reach(ctx, compile.StageReady); err != nil {
		return err
	}
	// Until now SIGINT and the like end the restart. From now on they are passed on to the program.
	if err := c.group.adopt(c.seen); err != nil {
		return err
	}
	if err := c.group.env.Commit(); err != nil {
		return err
	}
	c.group.reclaimMutexes(c.member)
	if c.group.mode.Apart {
		c.part()
	}
	if err := c.goOn(); err != nil {
		return err
	}
	return c.await(ctx, func(m message) bool { return m.success })
}

// part lets the interpreter exit, whose child the member is. The member's parent is then init or a subreaper, and the end of
// crak causes no parent-death signal.
func (c *conductor) part() {
	unix.Write(int(c.group.interpreter.control.Fd()), []byte{1})
	c.group.interpreter.wait()
	c.gone = true
}

// reach waits until the member has reached a stage.
func (c *conductor) reach(ctx context.Context, stage int64) error {
	return c.await(ctx, func(m message) bool { return m.report.Kind == program.Stage && m.report.Result == stage })
}

// goOn tells the member to leave the stage it has reached.
func (c *conductor) goOn() error {
	if _, err := unix.Write(int(c.member.control.Fd()), []byte{1}); err != nil {
		return fmt.Errorf("pid %d: control socket: %w", c.pid, err)
	}
	return nil
}

// fill fills the member's memory, and then seals the memory objects.
func (c *conductor) fill(ctx context.Context) error {
	if err := c.group.fillProcess(ctx, c.pid, c.seen); err != nil {
		return err
	}
	if err := c.member.fillVDSO(c.seen); err != nil {
		return err
	}
	for id, at := range c.group.programs.Shared {
		if err := c.group.fillShared(ctx, id, c.seen, c.group.interpreter.layout.Address(at)); err != nil {
			return err
		}
	}
	if err := c.group.objects.seal(c.group.img.Group); err != nil {
		return err
	}
	if err := c.group.segments.settle(c.group.img.Group); err != nil {
		return err
	}
	return c.group.goOnWithCPUTime(c.member, c.seen)
}

// await reads messages until done returns true.
func (c *conductor) await(ctx context.Context, done func(message) bool) error {
	for {
		m, err := c.next()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == io.EOF:
			return c.died()
		case err != nil:
			return err
		case m.report.Kind == program.Failed:
			return c.failure(m.report)
		case m.report.Kind == program.Notice:
			c.group.env.Notice(c.explain(m.report))
		case done(m):
			return nil
		}
	}
}

// interrupt ends a wait for messages.
func (c *conductor) interrupt() {
	unix.Shutdown(int(c.member.control.Fd()), unix.SHUT_RDWR)
}

// adjust sets what is set by files in /proc. To lower oom_score_adj needs a capability: a failure is a notice.
func (c *conductor) adjust() {
	a := &c.member.process.Attributes
	c.set("oom_score_adj", fmt.Sprint(a.OOMScoreAdj))
	c.set("coredump_filter", fmt.Sprintf("%08x", a.CoredumpFilter))
}

func (c *conductor) set(name, want string) {
	path := proc.Path(c.seen, name)
	if have, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(have)) == want {
		return
	}
	if name == "coredump_filter" {
		want = "0x" + want
	}
	if err := os.WriteFile(path, []byte(want), 0); err != nil {
		c.group.env.Notice(fmt.Sprintf("pid %d: %s %s: %v", c.pid, name, want, err))
	}
}

const killPatience = 5 * time.Second

// kill kills the interpreter and the member, and reaps those that are our children.
func (c *conductor) kill() {
	if !c.gone {
		c.group.interpreter.kill()
	}
	if c.pidfd >= 0 {
		unix.PidfdSendSignal(c.pidfd, unix.SIGKILL, nil, 0)
		busypoll.Poll([]unix.PollFd{{Fd: int32(c.pidfd), Events: unix.POLLIN}}, killPatience)
		unix.Close(c.pidfd)
		return // its parent reaps it
	}
	// If the member was never made, the PID may belong to another process: kill it only if it is our child.
	if unix.Waitid(unix.P_PID, c.seen, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil {
		unix.Kill(c.seen, unix.SIGKILL)
		wait(c.seen)
	}
}

// release closes and reaps what crak needs no more, once the member runs.
func (c *conductor) release() {
	if c.pidfd >= 0 {
		unix.Close(c.pidfd)
	}
	if !c.gone {
		c.group.interpreter.wait()
	}
}
