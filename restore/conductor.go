package restore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/restore/compile"
	"crak.dev/crak/restore/program"
)

// A conductor leads the members of a group through the restart, over their control sockets. One goroutine handles all messages;
// others fill the members' memory.
//
//	interpreter  ──makes──>  root  ──makes──>  members …
//
//	                         member ── a message: it exists ──>  conductor opens a pidfd
//	                                ── stage: mapped ─────────>  a goroutine fills its memory
//	                                <─ a byte: filled ──────────
//	                                ── stage: ready ──────────>  of every member, before the first is told to go
//	                                <─ a byte ──────────────────  to every member that was stopped: crak traces it
//	                                ── stage: stops ─────────────> of every such member
//	                         root   <─ a byte: go ──────────────  the root lets the other members go
//	                         resident ─ a byte: runs ─────────>  of every member
//
// If crak ends before it has told the root to go, all processes notice that and end (await in interp/src/run.c).
// If an instruction fails, or a process dies, crak kills all processes of the restart. Before all members are ready, crak changes
// no file of the user. After that nothing can fail, except cutting files back.
type conductor struct {
	group   *group
	events  *events
	family  *family
	stop    context.CancelFunc // of the goroutines that fill
	fills   sync.WaitGroup
	filling atomic.Int32  // how many of these goroutines run
	places  chan struct{} // bounds how many members are filled at the same time
	failed  chan error    // has the first error of a fill
	reached [stages]int   // how many members have reached each stage
	gone    bool          // the interpreter has been waited for, or has become the root

	timeouts int // since the last event
	moves    uint64
	moved    time.Time // when moves changed, or a process ran
}

const killPatience = 5 * time.Second

// newConductor is called before the interpreter is started.
func newConductor(g *group) (*conductor, error) {
	c := &conductor{group: g, stop: func() {}, failed: make(chan error, 1), places: make(chan struct{}, fillsAtOnce())}
	var err error
	if c.events, err = newEvents(); err != nil {
		return nil, err
	}
	if c.family, err = newFamily(); err != nil {
		c.events.close()
		return nil, err
	}
	return c, nil
}

// conduct leads the members through the restart. It returns when they run. After an error the caller calls kill.
// Preconditions: the interpreter has its programs.
func (c *conductor) conduct(ctx context.Context) error {
	g := c.group
	g.at("programs")
	if err := c.listen(); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, c.events.wakeUp)()
	filling, stop := context.WithCancel(ctx)
	c.stop = stop
	all := len(g.members)
	if err := c.until(filling, stageReady, all); err != nil {
		return err
	}
	c.fills.Wait()
	g.at("ready")
	if err := c.trace(); err != nil {
		return err
	}
	g.at("traced")
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	var err error
	if g.gaveUp, err = bounded(ctx, g.moves, c.commit); err != nil {
		return err
	}
	g.at("committed")
	if err := c.stopped(ctx); err != nil {
		return err
	}
	g.at("stopped")
	if err := g.root().goOn(); err != nil {
		return err
	}
	g.at("go")
	if err := c.until(ctx, stageRuns, all); err != nil {
		return err
	}
	g.at("runs")
	c.untrace()
	return nil
}

// listen registers the sockets of all members, and the interpreter.
func (c *conductor) listen() error {
	for i, m := range c.group.members {
		if err := c.events.add(int(m.control.Fd()), event{memberSocket, i}); err != nil {
			return err
		}
	}
	if c.group.mode.First {
		c.gone = true
		return nil
	}
	return c.events.add(c.group.interpreter.pidfd, event{source: interpreterEnd})
}

// until handles events until some members, or all, have reached a stage.
func (c *conductor) until(ctx context.Context, s stage, members int) error {
	for c.reached[s] < members {
		e, err := c.events.next()
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = c.handle(ctx, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *conductor) handle(ctx context.Context, e event) error {
	if e.source != eventTimeout {
		c.timeouts = 0
	}
	switch e.source {
	case eventTimeout:
		return c.deadlock()
	case memberSocket:
		return c.read(ctx, e.member)
	case memberEnd:
		return c.died(c.group.members[e.member])
	case interpreterEnd:
		c.events.remove(c.group.interpreter.pidfd)
		return c.interpreterEnded()
	}
	select {
	case err := <-c.failed:
		return err
	default:
		return nil
	}
}

// read reads a message of a member.
func (c *conductor) read(ctx context.Context, i int) error {
	m := c.group.members[i]
	if m.control == nil {
		return nil // the event came before it was closed
	}
	in, ok := receive(int(m.control.Fd()))
	switch {
	case !ok:
		return c.died(m)
	case in.success:
		c.runs(m)
		return nil
	case in.report.Kind == program.Failed:
		return c.failure(in.report)
	case in.report.Kind == program.Notice:
		c.group.env.Notice(c.explain(in.report))
		return nil
	case in.report.Kind != program.Stage:
		return nil
	}
	if m.stage == stageNone {
		if err := c.begun(i, in.from); err != nil {
			if why := c.reason(); why != nil { // it has ended already
				return why
			}
			return err
		}
	}
	switch in.report.Result {
	case compile.StageMapped:
		c.reach(m, stageMapped)
		c.filling.Add(1)
		c.fills.Go(func() { c.fill(ctx, m) })
	case compile.StageReady:
		c.reach(m, stageReady)
	case compile.StageStops:
		c.reach(m, stageStops)
	}
	return nil
}

func (c *conductor) reach(m *member, s stage) {
	m.stage = s
	c.reached[s]++
	if c.reached[s] == 1 {
		c.group.at("first " + stageNames[s])
	}
}

// begun handles the first message of a member.
func (c *conductor) begun(i, seen int) error {
	m := c.group.members[i]
	if err := m.begin(seen); err != nil {
		return err
	}
	c.reach(m, stageBegun)
	return c.events.add(m.pidfd, event{memberEnd, i})
}

// runs handles the byte of a resident. From now on crak does not watch for the end of the member.
func (c *conductor) runs(m *member) {
	c.reach(m, stageRuns)
	c.events.remove(m.pidfd)
	c.events.remove(int(m.control.Fd()))
	m.control.Close()
	m.control = nil
}

// commit does what cannot be undone. Preconditions: all members are ready. Until now SIGINT and similar signals end the restart.
// From now on crak passes them on to the program.
func (c *conductor) commit() error {
	g := c.group
	if err := c.checkZombies(); err != nil {
		return err
	}
	if err := g.fillDeferred(); err != nil {
		return err
	}
	if err := g.objects.seal(g.img.Group); err != nil {
		return err
	}
	if err := g.sysv.commit(g.img.Group); err != nil {
		return err
	}
	if err := g.adopt(g.root(), g.front()); err != nil {
		return err
	}
	if err := g.env.Commit(); err != nil {
		return err
	}
	for _, m := range g.members {
		g.reclaimMutexes(m)
	}
	if g.mode.Apart {
		c.family.release()
		c.part()
		return nil
	}
	return c.interpreterEnded() // not earlier: the interpreter is the parent of orphans, and its end would cause their parent-death signals
}

// part lets the interpreter exit, if the root is its child. The root's parent is then init or a subreaper, and the end of crak
// causes no parent-death signal.
func (c *conductor) part() {
	unix.Write(int(c.group.interpreter.control.Fd()), []byte{1})
	c.group.interpreter.wait()
	c.gone = true
}

// interpreterEnded reaps the interpreter. It exits when it has made the root.
func (c *conductor) interpreterEnded() error {
	if c.gone {
		return nil
	}
	status, err := c.group.interpreter.wait()
	c.gone = true
	if err == nil && status.Exited() && status.ExitStatus() == 0 {
		return nil
	}
	if why := c.reason(); why != nil {
		return why
	}
	return fmt.Errorf("interpreter: %s", ending(status))
}

// kill kills every process of the restart, and reaps those that are crak's children.
func (c *conductor) kill() {
	c.stop()
	// Fills write to processes by their PIDs, so no process may be reaped before they end.
	reap := within(killPatience, c.fills.Wait)
	for _, m := range c.group.members {
		m.kill()
	}
	c.untrace()
	if !reap { // crak waits for a file system that does not answer
		c.group.gaveUp = true
	}
	c.family.kill(reap)
	for _, m := range c.group.members {
		m.awaitEnd()
	}
}

// close closes the descriptors and reaps the interpreter.
func (c *conductor) close() {
	c.stop()
	if c.group.interpreter != nil && !c.gone {
		within(killPatience, func() { c.group.interpreter.wait() })
	}
	for _, m := range c.group.members {
		m.close()
	}
	c.family.release()
	c.events.close()
}
