package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"crak.dev/crak/dump"
	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// Longest waits for a program.
const (
	timeoutAnswer = 5 * time.Second  // to connect after an order
	timeoutHold   = 60 * time.Second // to leave a section between crak_hold and crak_release
	timeoutFreeze = 30 * time.Second // to park all its threads; the resident gives up earlier
)

// checkpoint is one run of Checkpoint: a group of processes and the image of it.
type checkpoint struct {
	Options
	membership
	settings  map[string]string // of the root
	group     *Rights           // rights of the root process. Unless that is a program of root, every member must have the same
	members   []*member         // the root first
	zombies   []image.Zombie    // children of members that have ended
	noTwin    string            // why there are no twins, or ""
	needTwin  bool              // refuse a checkpoint without twins
	table     fd.Table
	sysv      *dump.SysV
	copies    *dump.Copies // of mapped files
	link      string       // of the private network namespace to another one, or ""
	outcomes  []fd.Outcome // of the last survey, with Explain
	files     *dump.Files  // of --with-files
	holders   *fd.Holders
	outside   bool // the survey has found a TCP connection to a process outside
	writer    *image.Writer
	begun     time.Time
	since     uint64 // a moment before the freeze, in clock ticks since boot
	used      int    // descriptors that the writer has for itself
	room      int    // descriptors that it can have besides two for each member
	listening int    // sockets that are open for the next orders
	atOnce    int    // how many members the writer deals with at the same time
	pause     time.Duration

	dropping sync.Mutex     // guards the field again, and the field dropped of each member
	starts   map[int]uint64 // start times of the processes that the last look has found
	again    []int          // PIDs of processes that have executed another program since they were found

	frozen    keepalive // keeps the members frozen
	wasFrozen bool      // all members
	stoppable func()    // undoes unstoppable

	moves   atomic.Uint64                // counts progress: see bounded
	writing atomic.Pointer[image.Writer] // the writer, once there is one

	xfeatures uint64 // FPU and vector states in the signal frames
	xsaveSize uint32
}

// root is the process that the checkpoint was asked for.
func (c *checkpoint) root() *member { return c.members[0] }

// Checkpoint writes an image of a running program and its descendants. They then run on, or are ended (Options.Kill). On a
// failure they all run on unchanged and no image is left. Obstacles are returned as an obstacle.List. The outcome is written to
// the log of the program.
func Checkpoint(o Options) (*Result, error) {
	c := newCheckpoint(o)
	before := c.Rights.programBefore(c.Pid)
	var result *Result
	err := c.bounded(func() (err error) {
		result, err = c.run()
		return err
	})
	if len(c.members) > 0 {
		before = cmp.Or(c.root().program, before)
	}
	if !c.wasFrozen {
		err = cmp.Or(changedSince(c.Pid, before, err), err)
	}
	err = c.explained(err)
	if cause := context.Cause(c.Context); err != nil && cause != nil {
		err = fmt.Errorf("pid %d: checkpoint given up: %w", c.Pid, cause)
	}
	if c.settings != nil {
		within(timeoutLog, func() { c.log(result, err) })
	}
	return result, err
}

func newCheckpoint(o Options) *checkpoint {
	c := &checkpoint{Options: o, settings: o.Settings, begun: time.Now(), holders: new(fd.Holders)}
	if c.Context == nil {
		c.Context = context.Background()
	}
	return c
}

// run takes the locks of the members and carries out the phases of doc.go.
func (c *checkpoint) run() (*Result, error) {
	defer fd.EndGuard()
	defer c.close()
	for _, phase := range []struct {
		name string
		do   func() error
	}{{"find", c.find}, {"lock", c.lockAll}, {"query", c.queryAll}, {"survey", c.survey}, {"plan", c.planTwin}} {
		c.at(phase.name)
		if err := phase.do(); err != nil {
			return nil, err
		}
		c.moved()
	}
	if c.outside {
		fd.GuardConnections()
	}
	begun := time.Now()
	result, err := c.attempt()
	changed, ran := false, time.Duration(0)
	for wait := firstPassing; ; {
		switch {
		case errors.Is(err, dump.ErrChanged) && !changed:
			changed = true
			for _, m := range c.members {
				m.dump.Known.Forget()
			}
		case passes(err) && ran < timeoutPassing && c.Context.Err() == nil:
			pause := min(max(wait, time.Since(begun)), timeoutPassing)
			time.Sleep(pause) // for what the kernel has no event (passing.go)
			ran += pause
			wait = min(2*wait, longestPassing)
			if err := c.asleep(); err != nil {
				return nil, err
			}
		default:
			return result, err
		}
		c.table.Again()
		begun = time.Now()
		result, err = c.attempt()
	}
}

// at is called at the beginning of each phase.
func (c *checkpoint) at(phase string) {
	if c.phase != nil {
		c.phase(phase)
	}
}

// close releases the writer's locks, connections and handles of the members. Members that were not killed run on.
func (c *checkpoint) close() {
	for _, m := range c.members {
		m.close()
	}
}

// attempt carries out the phases from create.
func (c *checkpoint) attempt() (*Result, error) {
	c.at("create")
	if err := c.create(); err != nil {
		return nil, err
	}
	defer c.writer.Abort()
	result, err := c.write()
	return result, explainStop(err)
}

// write freezes the group, writes the image and commits it.
func (c *checkpoint) write() (*Result, error) {
	defer context.AfterFunc(c.Context, func() { c.writer.GiveUp(context.Cause(c.Context)) })()
	for _, m := range c.members {
		if err := c.refresh(m); err != nil {
			return nil, err
		}
		c.prepare(m)
	}
	c.copies = dump.NewCopies(c.dumps())
	debug.SetMemoryLimit(memoryLimit)
	prefaultHeap()
	debug.SetGCPercent(-1) // while a program is frozen, collect garbage only to stay within the limit
	c.writer.Hold(roomForContent())
	c.stoppable = unstoppable()
	defer c.stoppable()
	c.frozen.begin(c.writer, !c.Kill && c.hasSeveralUsers())
	defer c.dismiss() // then the group runs on, and the twins exit
	defer c.table.Release()
	defer func() { c.table.ReleaseConnections() }() // after a failure: otherwise they have been released before
	if err := c.listenAll(); err != nil {
		return nil, err
	}
	c.at("freeze")
	if err := c.freeze(); err != nil {
		return nil, err
	}
	c.wasFrozen = true
	c.at("capture")
	processes, err := c.capture()
	if err != nil {
		return nil, err
	}
	c.at("save")
	if err := c.save(); err != nil {
		return nil, err
	}
	c.at("commit")
	path, err := c.commit(processes)
	if err != nil {
		return nil, err
	}
	c.at("committed")
	if c.Kill {
		if err := c.kill(path); err != nil {
			return nil, err
		}
	}
	return &Result{Path: path, Pause: c.pause, Note: c.noTwin, Notices: c.notices()}, nil
}
