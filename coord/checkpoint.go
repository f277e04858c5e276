package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"crak.dev/crak/dump"
	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/resident"
)

// Longest waits for a program.
const (
	patienceAnswer = 5 * time.Second  // to connect after an order
	patienceHold   = 60 * time.Second // to leave a section between crak_hold and crak_release
	patienceFreeze = 30 * time.Second // to park all its threads; the resident gives up earlier
)

// checkpoint is one run of Checkpoint.
type checkpoint struct {
	Options
	member   member
	settings map[string]string
	listener *resident.Listener
	noTwin   string // why there is no twin, or ""
	needTwin bool   // refuse a checkpoint without a twin
	table    fd.Table
	writer   *image.Writer
	begun    time.Time
	since    uint64 // a moment before the freeze, in clock ticks since boot
	frozen   time.Time
	pause    time.Duration

	silence   func() // ends keepFrozen
	stoppable func() // ends unstoppable

	xfeatures uint64 // FPU and vector states in the signal frames
	xsaveSize uint32
}

// member is what a checkpoint knows of one process of the group.
type member struct {
	live     int    // a live thread: the main thread may have exited
	program  string // programOf, when the process was last found ready
	dumpable bool   // before the freeze
	holds    int    // depth of crak_hold
	trigger  int    // the signal that asks it for a checkpoint, or 0
	conn     *resident.Conn
	twin     int // PID in our PID namespace, or 0
	known    dump.Known
	dump     *dump.Member // reads the process
}

// Checkpoint writes an image of a running program. The program then runs on, or is ended (Options.Kill). On a failure the
// program runs on unchanged and no image is left. Obstacles are returned as an obstacle.List. The outcome is written to the
// program's log.
func Checkpoint(o Options) (*Result, error) {
	c := &checkpoint{Options: o, settings: o.Settings, begun: time.Now()}
	if c.Context == nil {
		c.Context = context.Background()
	}
	before := c.Rights.programBefore(c.Pid)
	result, err := c.run()
	if wasFrozen := c.member.dump != nil && c.member.dump.Conn != nil; !wasFrozen {
		err = cmp.Or(changedSince(c.Pid, cmp.Or(c.member.program, before), err), err)
	}
	err = explainPermission(c.Pid, c.Rights, err)
	if cause := context.Cause(c.Context); err != nil && cause != nil {
		err = fmt.Errorf("pid %d: checkpoint given up: %w", c.Pid, cause)
	}
	if c.settings != nil {
		c.log(result, err)
	}
	return result, err
}

// run takes the lock of the process and carries out the phases of doc.go.
func (c *checkpoint) run() (*Result, error) {
	list, err := candidate(c.Pid)
	if err != nil {
		return nil, err
	}
	if c.Kill && c.Pid == 1 {
		list = append(list, obstacle.Obstacle{Pid: 1, What: "process 1 of this PID namespace",
			Why: "no process of this namespace can kill it (pid_namespaces(7))",
			Do:  "run crak checkpoint --kill outside of the namespace, or without --kill"})
	}
	if len(list) > 0 {
		return nil, list
	}
	release, err := lock(c.Pid)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := c.query(); err != nil {
		return nil, err
	}
	defer c.listener.Close()
	if err := c.survey(); err != nil {
		return nil, err
	}
	if err := c.planTwin(); err != nil {
		return nil, err
	}
	result, err := c.attempt()
	if errors.Is(err, dump.ErrChanged) {
		c.member.known.Mappings, c.table = nil, fd.Table{}
		result, err = c.attempt()
	}
	return result, err
}

// attempt carries out the phases from create.
func (c *checkpoint) attempt() (*Result, error) {
	if err := c.create(); err != nil {
		return nil, err
	}
	defer c.writer.Abort()
	return c.write()
}

// write freezes the program, writes the image and commits it.
func (c *checkpoint) write() (*Result, error) {
	defer context.AfterFunc(c.Context, func() {
		c.writer.GiveUp(context.Cause(c.Context))
		c.listener.Interrupt()
	})()
	c.member.dump = &dump.Member{
		Pid:           c.Pid,
		Live:          c.member.live,
		Table:         &c.table,
		Known:         c.member.known,
		Overrides:     c.Overrides,
		SelfContained: c.SelfContained || c.settings["CRAK_SELF_CONTAINED"] == "1",
	}
	c.member.dump.Prepare()
	debug.SetMemoryLimit(memoryLimit)
	warm()
	debug.SetGCPercent(-1) // while a program is frozen, collect garbage only to stay within the limit
	c.writer.Hold(roomForContent())
	c.stoppable = unstoppable()
	defer c.stoppable()
	if err := c.freeze(); err != nil {
		return nil, err
	}
	c.silence = c.keepFrozen()
	defer c.dismiss() // the program runs on, the twin exits
	processes, err := dump.Capture([]*dump.Member{c.member.dump})
	if err != nil {
		return nil, err
	}
	process := processes[0]
	if err := cmp.Or(c.Rights.still(c.Pid), c.table.Obstacles.Err()); err != nil {
		return nil, err
	}
	c.xfeatures, c.xsaveSize = extendedState(c.member.live, process)
	if err := c.save(); err != nil {
		return nil, err
	}
	if err := c.member.dump.SumCommon(c.Kill); err != nil {
		return nil, err
	}
	manifest, err := c.manifest(process)
	if err != nil {
		return nil, err
	}
	group := &image.Group{
		Root:         process.Pid,
		Processes:    []image.Process{*process},
		Descriptions: c.table.Descriptions,
		Memory:       c.table.Memory,
		Objects:      c.table.Objects,
	}
	path, err := c.writer.Commit(*manifest, group)
	if err != nil {
		return nil, err
	}
	if c.Kill {
		if err := c.kill(path); err != nil {
			return nil, err
		}
	}
	return &Result{Path: path, Pause: c.pause, Note: c.noTwin}, nil
}
