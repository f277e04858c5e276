package compile

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/restore/program"
)

// Stages that a process reports. After each it waits for a byte.
const (
	StageMapped = 1 // its memory is mapped and can be filled
	StageReady  = 2 // every thread is there, and nothing can fail any more
)

// An Output is what Programs returns.
type Output struct {
	Set    *program.Set
	Shared map[image.MemoryID]program.Arg // addresses at which shared memory that is no file can be filled
}

// A compiler makes the programs of one process.
type compiler struct {
	target  *Target
	process *Process
	uses    map[image.MemoryID]*Use

	set      *program.Set                               // of all processes
	shared   map[image.MemoryID]program.Arg             // of all processes: Output.Shared
	b        *program.Builder                           // the thread group leader's program
	children []*compiler                                // processes that this one makes
	restart  program.Arg                                // struct abi_restart
	arrived  program.Arg                                // counter: threads that are ready
	released program.Arg                                // 1 once the process was told to go
	gone     program.Arg                                // 1 until a dead thread group leader has exited
	waits    map[int32]bool                             // timers that send their pending signal again
	pending  uint64                                     // signals that are pending for the process, a bit each
	numbers  map[image.DescriptionID][]image.Descriptor // by which the process has a description
	err      error
}

// Programs compiles a group: the interpreter's own program, which makes the root process, one for each process, which
// makes its children, and one for each further thread.
func Programs(t *Target, all []*Process) (*Output, error) {
	out := &Output{Set: &program.Set{}, Shared: make(map[image.MemoryID]program.Arg)}
	var interpreter *program.Builder
	if !t.Mode.First {
		interpreter = out.Set.Build("interpreter", t.Interpreter)
	}
	uses := Uses(t.Group)
	compilers := make(map[image.Pid]*compiler)
	for _, p := range all {
		compilers[p.Pid] = &compiler{target: t, process: p, uses: uses, set: out.Set, shared: out.Shared,
			b:       out.Set.Build(fmt.Sprintf("pid %d", p.Pid), p.Control),
			numbers: make(map[image.DescriptionID][]image.Descriptor)}
	}
	root, err := tree(t.Group.Root, all, compilers)
	if err != nil {
		return nil, err
	}
	if interpreter != nil {
		root.start(interpreter)
	}
	if err := root.compile(); err != nil {
		return nil, err
	}
	if out.Set.Full {
		return nil, fmt.Errorf("pid %d: a restart takes more than %d system calls", t.Group.Root, program.MostInstructions)
	}
	return out, nil
}

// tree gives each process its children, and returns the root. Every process must descend from the root.
func tree(pid image.Pid, all []*Process, compilers map[image.Pid]*compiler) (*compiler, error) {
	root := compilers[pid]
	if root == nil {
		return nil, fmt.Errorf("root: %d: not one of the processes", pid)
	}
	for _, p := range all {
		if parent := compilers[p.Parent]; p.Pid != pid && parent != nil {
			parent.children = append(parent.children, compilers[p.Pid])
		}
	}
	if n := root.count(); n != len(all) {
		return nil, fmt.Errorf("pid %d: %d of %d processes do not descend from it", pid, len(all)-n, len(all))
	}
	return root, nil
}

// count is the number of a process and its descendants.
func (c *compiler) count() int {
	n := 1
	for _, child := range c.children {
		n += child.count()
	}
	return n
}

func (c *compiler) isRoot() bool { return c.process.Pid == c.target.Group.Root }

// start makes the root in the interpreter's program. By CLONE_PARENT it is crak's child; a root that is apart stays the
// interpreter's child, and the interpreter exits when crak says so.
func (c *compiler) start(interpreter *program.Builder) {
	apart := c.target.Mode.Apart
	flags := uint64(unix.CLONE_PARENT)
	if apart {
		flags = 0
	}
	interpreter.Process(c.b.Number, int(c.process.Pid), flags).Note(c.process.Threads[0].Comm)
	if apart {
		interpreter.Call(unix.SYS_READ, program.Const(c.target.Interpreter), c.set.Variable(make([]byte, 1)), program.Const(1)).Any().
			Note("crak needs the interpreter no more")
	}
	interpreter.Call(unix.SYS_EXIT_GROUP, program.Const(0))
}

// compile writes the programs of a process, and of its descendants.
func (c *compiler) compile() error {
	if c.isRoot() && c.target.Mode.First {
		c.ownProc()
	}
	if err := c.prepare(); err != nil {
		return err
	}
	c.waits = c.waitingTimers()
	for _, info := range c.process.Pending {
		c.pending |= 1 << (info.Signal() - 1)
	}
	if c.isRoot() {
		c.session()
		c.stage()
	}
	c.makeChildren()
	c.memoryMap()
	c.report(StageMapped, "memory is mapped", "memory is filled")
	c.memoryFinish()
	c.layout()
	c.attributes()
	c.table()
	c.signals()
	c.threads()
	for _, child := range c.children {
		if err := child.compile(); err != nil {
			return err
		}
	}
	return c.err
}

// makeChildren has the process make its children. They inherit its session and the staging area: both are there, and
// nothing of the process's own memory.
func (c *compiler) makeChildren() {
	for _, child := range c.children {
		c.b.Process(child.b.Number, int(child.process.Pid), 0).Note(child.process.Threads[0].Comm)
	}
}

// ProcFlags are the flags that /proc is mounted with.
const ProcFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// ownProc mounts /proc for process 1 of a new PID namespace. Only a process in that namespace can mount its /proc.
func (c *compiler) ownProc() {
	none, root, proc := c.set.String(""), c.set.String("/"), c.set.String("proc")
	c.b.Call(unix.SYS_MOUNT, none, root, none, program.Const(unix.MS_REC|unix.MS_PRIVATE), program.Const(0)).Note("mounts are private")
	c.b.Call(unix.SYS_MOUNT, proc, c.set.String("/proc"), proc, program.Const(ProcFlags), program.Const(0)).
		Note("in a container whose /proc is masked: restart it as root, or let the container see all of /proc")
}

// prepare lays out what the programs of one process share.
func (c *compiler) prepare() error {
	live, initiator := 0, 0
	for i := range c.process.Threads {
		t := &c.process.Threads[i].Parked
		if t.Flags&abi.ThreadDead == 0 {
			live++
		}
		if t.Flags&abi.ThreadInitiator != 0 {
			if initiator != 0 {
				return errors.New("threads: two are the initiator of the freeze")
			}
			initiator = int(t.Tid)
		}
	}
	if initiator == 0 {
		return errors.New("threads: none is the initiator of the freeze")
	}
	c.restart = c.set.Variable(program.Raw(abi.Restart{Control: int32(c.process.Control), Threads: int32(live), Initiator: int32(initiator)}))
	c.set.Point(c.restart, program.Area)
	c.set.Point(c.restart.At(8), program.AreaLength)
	c.arrived = c.set.Variable(make([]byte, 4))
	c.released = c.set.Variable(make([]byte, 4))
	c.gone = c.set.Variable([]byte{1, 0, 0, 0})
	return nil
}

// report reports a stage, and waits until crak lets the process go on.
func (c *compiler) report(stage int64, reached, next string) {
	r := program.Report{Kind: program.Stage, Tid: int32(c.process.Pid), Program: uint32(c.b.Number), Result: stage}
	c.b.Call(unix.SYS_SENDTO, program.Const(c.process.Control), c.set.Bytes(r.Bytes()), program.Const(program.ReportSize),
		program.Const(unix.MSG_NOSIGNAL)).Want(program.ReportSize).Note(reached)
	c.b.Call(unix.SYS_READ, program.Const(c.process.Control), c.set.Variable(make([]byte, 1)), program.Const(1)).
		Want(1).Note(next)
}

// session puts the root into its process group or session. It comes early: crak can hand over the terminal before the
// program runs.
func (c *compiler) session() {
	switch c.target.Mode.Group {
	case OwnGroup:
		c.b.Call(unix.SYS_SETPGID, program.Const(0), program.Const(0))
	case OwnSession:
		c.b.Call(unix.SYS_SETSID).Want(uint64(c.process.Pid))
	}
}

func (c *compiler) fail(err error) {
	if c.err == nil {
		c.err = fmt.Errorf("pid %d: %w", c.process.Pid, err)
	}
}
