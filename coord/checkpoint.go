package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/dump"
	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// How long to wait for a program, at most.
const (
	patienceAnswer = 5 * time.Second  // to take up a signal
	patienceHold   = 60 * time.Second // to leave a section between crak_hold and crak_release
	patienceFreeze = 30 * time.Second // to park its threads; the resident gives up before
)

// memoryLimit is of the Go runtime; a Writer has some 3 MiB a processor in use.
const memoryLimit = 64 << 20

// Options of a checkpoint. What is not set is as the program was started: CRAK_DIR and its kin.
type Options struct {
	Pid           int
	Output        string   // path of the image; default: CRAK_DIR/<program>.<pid>/<sequence>
	Parent        *os.File // the directory of Output, if it is open
	Rights        *Rights  // that Adopt has taken from the program, or nil
	Kill          bool     // end the program; it does not run on after the instant of the image
	SelfContained bool
	Compress      string              // "zstd", "none" or ""
	Twin          string              // "auto", "need", "never" or ""
	Progress      func(*image.Writer) // told of the writer as soon as there is one
	Context       context.Context     // gives up when it is done; nil: never
	Settings      map[string]string   // where to note the outcome, should there be no word with the program
	Secret        []byte              // of the program, which has started us itself; nil: it is to be read
}

// Result is a committed image.
type Result struct {
	Path  string
	Pause time.Duration // how long the program stood still
	Note  string        // why it stood still until its memory was written, or ""
}

// checkpoint is one run of Checkpoint.
type checkpoint struct {
	Options
	live     int    // a live thread of the program: its main thread may have exited
	program  string // which program the process executes (programOf), when it was last found ready
	settings map[string]string
	dumpable bool // when it is not frozen
	holds    int  // depth of crak_hold
	trigger  int  // the signal that asks it for a checkpoint, or 0
	listener *resident.Listener
	conn     *resident.Conn
	twin     int    // in our PID namespace, or 0
	noTwin   string // why none is made
	needTwin bool   // without a twin there is no checkpoint
	known    dump.Known
	member   *dump.Member
	table    fd.Table
	writer   *image.Writer
	begun    time.Time
	since    uint64 // a time before the freeze, in ticks since boot
	frozen   time.Time
	pause    time.Duration

	silence   func() // ends keepFrozen
	stoppable func() // ends unstoppable

	xfeatures uint64 // of the signal frames
	xsaveSize uint32
}

// Checkpoint writes an image of a running program and lets it go on, or ends it. On any failure the program
// runs on as if nothing had been asked, and nothing is left of the image. Obstacles come as an obstacle.List.
// The outcome is noted in the program's log.
func Checkpoint(o Options) (*Result, error) {
	c := &checkpoint{Options: o, settings: o.Settings, begun: time.Now()}
	if c.Context == nil {
		c.Context = context.Background()
	}
	result, err := c.run()
	err = explainPermission(c.Pid, c.Rights, err)
	if cause := context.Cause(c.Context); err != nil && cause != nil {
		err = fmt.Errorf("pid %d: checkpoint given up: %w", c.Pid, cause)
	}
	if c.settings != nil {
		c.log(result, err)
	}
	return result, err
}

// run makes sure that nobody else is at it, and learns who the program is.
func (c *checkpoint) run() (*Result, error) {
	list, err := candidate(c.Pid)
	if err != nil {
		return nil, err
	}
	if c.Kill && c.Pid == 1 {
		list = append(list, obstacle.Obstacle{Pid: 1, What: "process 1 of this PID namespace",
			Why: "the kernel lets nobody within the namespace kill it (pid_namespaces(7))",
			Do:  "run crak checkpoint --kill from outside of the namespace, or leave --kill out"})
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
		c.known.Mappings, c.table = nil, fd.Table{}
		result, err = c.attempt()
	}
	return result, err
}

// attempt makes the image.
func (c *checkpoint) attempt() (*Result, error) {
	if err := c.create(); err != nil {
		return nil, err
	}
	defer c.writer.Abort()
	return c.write()
}

// query learns who is there and how it was started, without stopping it.
func (c *checkpoint) query() error {
	var err error
	if c.live, err = liveThread(c.Pid); err != nil {
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
	c.dumpable = conn.Hello.Dumpable == 1
	c.holds = int(conn.Hello.Holds)
	c.trigger = int(conn.Hello.Trigger)
	return nil
}

// write freezes the program and fills the image.
func (c *checkpoint) write() (*Result, error) {
	defer context.AfterFunc(c.Context, func() {
		c.writer.GiveUp(context.Cause(c.Context))
		c.listener.Interrupt()
	})()
	c.member = &dump.Member{
		Pid:           c.Pid,
		Live:          c.live,
		Table:         &c.table,
		Known:         c.known,
		SelfContained: c.SelfContained || c.settings["CRAK_SELF_CONTAINED"] == "1",
	}
	c.member.Prepare()
	debug.SetMemoryLimit(memoryLimit)
	warm()
	debug.SetGCPercent(-1) // no collection while a program stands still, but to stay within the limit
	c.writer.Hold()
	c.stoppable = unstoppable()
	defer c.stoppable()
	if err := c.freeze(); err != nil {
		return nil, err
	}
	c.silence = c.keepFrozen()
	defer c.dismiss() // everyone goes on, the twin goes away
	process, err := c.member.Capture()
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(c.Rights.still(c.Pid), c.table.Obstacles.Err()); err != nil {
		return nil, err
	}
	c.xfeatures, c.xsaveSize = extendedState(c.live, process)
	if err := c.save(); err != nil {
		return nil, err
	}
	if err := c.member.SumCommon(c.Kill); err != nil {
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

// warmth is more than what is allocated during a pause of most programs.
const warmth = 4 << 20

// warm has heap in memory that has been touched before: the first touch of a page takes microseconds.
func warm() {
	room := make([]byte, warmth)
	for i := 0; i < len(room); i += os.Getpagesize() {
		room[i] = 1
	}
	runtime.GC() // gives it back to the heap
}

// survey finds the obstacles that are to be seen before anybody is stopped. It also has our code
// in memory before it is needed in a hurry. A program that may not be dumped shows nothing until it is frozen.
func (c *checkpoint) survey() error {
	var table fd.Table
	var err error
	c.known, err = dump.Survey(c.Pid, c.live, &table)
	if err != nil && (c.dumpable || !errors.Is(err, os.ErrPermission)) {
		return err
	}
	return table.Obstacles.Err()
}

// create begins the image where the user wants it.
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

func (c *checkpoint) compress() (bool, error) {
	choice := c.Compress
	if choice == "" {
		choice = c.settings["CRAK_COMPRESS"]
	}
	switch choice {
	case "", "zstd":
		return true, nil
	case "none":
		return false, nil
	}
	return false, fmt.Errorf("compression %q: neither zstd nor none", choice)
}

// directory is CRAK_DIR, relative to where the program was started, which is also its default.
func (c *checkpoint) directory() string {
	return c.fromStart(c.settings["CRAK_DIR"])
}

func (c *checkpoint) fromStart(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.settings["CRAK_START_DIR"], path)
}

// freeze stops every thread of the program.
func (c *checkpoint) freeze() error {
	var err error
	if c.since, err = ticks(); err != nil {
		return err
	}
	if c.conn, err = c.order(abi.OrderFreeze, patienceHold); err != nil {
		return err
	}
	c.frozen = time.Now()
	if c.member.Threads, err = c.conn.Frozen(patienceFreeze); err != nil {
		c.conn.Close()
		return explain(err)
	}
	c.member.Conn = c.conn
	return nil
}

// ticks is the time since boot, as /proc/PID/stat has it.
func ticks() (uint64, error) {
	const perSecond = 100 // USER_HZ
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, fmt.Errorf("clock: %w", err)
	}
	return uint64(now.Nano()) / (1e9 / perSecond), nil
}

// save writes the content: what a twin cannot hold still first, the rest from the twin, while the program
// runs, or from the program itself where there is no twin.
func (c *checkpoint) save() error {
	if err := c.member.SaveFrozen(c.writer); err != nil {
		return err
	}
	if err := dump.SaveContents(c.writer, &c.table); err != nil {
		return err
	}
	if c.Kill {
		if err := c.writer.Release(); err != nil { // what it is held for will not run again
			return err
		}
		return c.saveFrozen(c.writer.Put)
	}
	if c.noTwin != "" {
		return c.saveStill()
	}
	twin, err := c.conn.Snapshot()
	if err != nil { // refused (EAGAIN, ENOMEM)
		c.noTwin = fmt.Sprintf("it could not fork: %v", err)
		if c.needTwin {
			return obstacle.List{{Pid: c.Pid, What: "no twin", Why: c.noTwin, Do: "give it room (ulimit -u, pids.max, memory), or CRAK_TWIN=auto"}}
		}
		return c.saveStill()
	}
	c.resumed()
	pid, memory, err := c.member.Twin(twin, c.since)
	if err != nil {
		return err
	}
	c.twin = pid
	if err := c.member.Confirm(c.twin); err != nil {
		return err
	}
	if err := c.writer.Release(); err != nil {
		return err
	}
	return c.member.SavePrivate(c.writer.Put, memory)
}

// saveFrozen writes the private memory of the program itself.
func (c *checkpoint) saveFrozen(put dump.Put) error {
	if err := c.member.Confirm(c.live); err != nil {
		return err
	}
	memory, err := c.member.Memory(c.live)
	if err != nil {
		return err
	}
	return c.member.SavePrivate(put, memory)
}

// saveStill writes the private memory of the program itself, which stands still until that is done.
func (c *checkpoint) saveStill() error {
	if err := c.saveFrozen(c.writer.PutSync); err != nil {
		return err
	}
	if err := cmp.Or(c.conn.Confirm(), c.conn.Resume()); err != nil {
		return err
	}
	c.resumed()
	return c.writer.Release()
}

// resumed is the end of the pause.
func (c *checkpoint) resumed() {
	c.pause = time.Since(c.frozen)
	c.silence()
	c.stoppable()
	debug.SetGCPercent(100)
	stepBack()
}
