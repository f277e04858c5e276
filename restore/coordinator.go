package restore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/compile"
	"crak.dev/crak/restore/program"
)

// A coordinator leads the members of a group through the restart. They report on one control socket, so that the number of crak's
// descriptors does not grow with the group. crak lets them go on by counters in the memory that the interpreter shares with it.
// One goroutine handles all messages; others fill the members' memory, and make descriptions.
//
//	interpreter  ──makes──>  root  ──makes──>  members …
//
//	                         member ── a message: it exists ──>  coordinator learns its PID
//	                                ── stage: mapped ─────────>  a goroutine fills its memory
//	                                <─ its turn ────────────────
//	                         (batches of descriptors: see batches.go)
//	                                ── stage: ready ──────────>  of every member, before the first is told to go
//	                                <─ its turn ────────────────  to every member that was stopped: crak traces it
//	                                ── stage: stops ─────────────> of every such member
//	                         all    <─ the decision: go ────────  one counter, so all go or none. First those that were stopped:
//	                                                              they stop again before the others run
//	                         resident ─ a byte: runs ─────────>  of every member
//
// If crak ends before it has told the group to go, all processes notice that and end (await in interp/src/run.c).
// If an instruction fails, or a process dies, crak kills all processes of the restart. It has no pidfds of members: when it has
// received nothing for a moment, it looks whether one has ended. Before all members are ready, crak changes
// no file of the user. After that nothing can fail, except cutting files back.
type coordinator struct {
	group   *group
	events  *events
	family  *family
	stop    context.CancelFunc // of the goroutines that work for members
	fills   sync.WaitGroup
	filling atomic.Int32  // how many of these goroutines run
	places  chan struct{} // bounds for how many members goroutines work at the same time
	failed  chan error    // has the first error of one
	reached [stages]int   // how many members have reached each stage
	byPid   map[image.Pid]*member
	bySeen  map[int]*member // those that have begun, by their PID in crak's PID namespace
	gone    bool            // the interpreter has been waited for, or has become the root

	timeouts int // since the last event
	moves    uint64
	moved    time.Time // when moves changed, or a process ran
}

// newCoordinator is called before the interpreter is started.
func newCoordinator(g *group) (*coordinator, error) {
	c := &coordinator{group: g, stop: func() {}, failed: make(chan error, 1), places: make(chan struct{}, fillsAtOnce()),
		byPid: make(map[image.Pid]*member), bySeen: make(map[int]*member)}
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

// run leads the members through the restart. It returns when they run. After an error the caller calls kill.
// Preconditions: the interpreter has its programs.
func (c *coordinator) run(ctx context.Context) error {
	g := c.group
	g.at("programs")
	for _, m := range g.members {
		c.byPid[m.pid()] = m
	}
	c.events.add(controlSocket, int(g.interpreter.control.Fd()))
	if c.gone = g.mode.First; !c.gone {
		c.events.add(interpreterEnd, g.interpreter.pidfd)
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
	if err := c.stoppedGo(ctx); err != nil {
		return err
	}
	g.at("stopped go")
	if err := g.interpreter.arrive(g.programs.Set.Decision); err != nil {
		return err
	}
	g.at("go")
	if err := c.until(ctx, stageRuns, all); err != nil {
		return err
	}
	g.at("runs")
	return nil
}

// until handles events until some members, or all, have reached a stage.
func (c *coordinator) until(ctx context.Context, s stage, members int) error {
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

func (c *coordinator) handle(ctx context.Context, from source) error {
	if from != eventTimeout {
		c.timeouts = 0
	}
	switch from {
	case eventTimeout:
		return c.timedOut(ctx)
	case controlSocket:
		_, err := c.read(ctx)
		return err
	case interpreterEnd:
		c.events.remove(interpreterEnd)
		return c.interpreterEnded()
	}
	select {
	case err := <-c.failed:
		return err
	default:
		return nil
	}
}

// read reads a message of a process, and handles it. There may be none.
func (c *coordinator) read(ctx context.Context) (some bool, err error) {
	in, ok := receive(int(c.group.interpreter.control.Fd()))
	switch {
	case !ok: // no process has the socket
		c.events.remove(controlSocket)
		return false, nil
	case in == (message{}):
		return false, nil
	case in.success:
		if m := c.bySeen[in.from]; m != nil {
			c.runs(m)
		}
		return true, nil
	case in.report.Kind == program.Failed:
		return true, c.failure(in.report)
	case in.report.Kind == program.Notice:
		c.group.env.Notice(c.explain(in.report))
		return true, nil
	case in.report.Kind != program.Stage:
		return true, nil
	}
	m := c.byPid[image.Pid(in.report.Tid)]
	if m == nil {
		return true, nil
	}
	if m.stage == stageNone {
		m.seen = in.from
		c.bySeen[m.seen] = m
		c.reach(m, stageBegun)
	}
	switch in.report.Result {
	case compile.StageMapped:
		c.reach(m, stageMapped)
		c.start(m, func() error { return c.group.fillMember(ctx, m) })
	case compile.StageReceives:
		c.receives(ctx, m)
	case compile.StageReceived:
		c.received(ctx, m)
	case compile.StageReady:
		c.reach(m, stageReady)
	case compile.StageStops:
		c.reach(m, stageStops)
	}
	return true, nil
}

func (c *coordinator) reach(m *member, s stage) {
	m.stage = s
	c.reached[s]++
	if c.reached[s] == 1 {
		c.group.at("first " + stageNames[s])
	}
}

// runs handles the byte of a resident. From now on crak does not look whether the member has ended.
func (c *coordinator) runs(m *member) {
	c.reach(m, stageRuns)
}
