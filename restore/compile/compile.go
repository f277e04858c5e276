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
	StageBegun  = 3 // it exists; after this one the process does not wait
	StageStops  = 4 // it is stopped, and its threads run under a tracer

	StageReceives = 5 // it waits for a batch of descriptors; there can be several
	StageReceived = 6 // it has received all batches; after this one the process does not wait
)

// An Output is what Programs returns.
type Output struct {
	Set    *program.Set
	Shared map[image.MemoryID]program.Arg // where crak can fill shared memory that is no file
	Kept   map[image.Pid][]image.Run      // pages that processes inherit from their parents, and that are not filled
	Turns  map[image.Pid]program.Arg      // counters: crak adds one when the process may leave the stage it has reached
	Leave  program.Arg                    // counter: 1 when the interpreter may exit; only with Mode.Apart
}

// A compiler makes the programs of one process.
type compiler struct {
	target  *Target
	process *Process
	turn    program.Arg // counter of how often crak has let the process go on
	turns   int         // how often the programs so far wait for that
	uses    map[image.MemoryID]*Use

	set      *program.Set                               // of all processes
	shared   map[image.MemoryID]program.Arg             // of all processes: Output.Shared
	inherits *inheritance                               // nil: the process maps everything itself
	tree     *tree                                      // of all processes
	node     *node                                      // in the tree
	b        *program.Builder                           // the thread group leader's program
	restart  program.Arg                                // struct abi_restart
	arrived  program.Arg                                // counter: threads that are ready
	released program.Arg                                // 1 once the process was told to go
	gone     program.Arg                                // 1 until a dead thread group leader has exited
	awaited  bool                                       // the program waits until all processes and threads exist
	waits    map[int32]bool                             // timers that send their pending signal again
	pending  uint64                                     // signals that are pending for the process, a bit each
	numbers  map[image.DescriptionID][]image.Descriptor // the descriptors by which the process has a description
	needs    map[image.DescriptionID]bool               // descriptions that a member makes and this process must have
	asking   []func()                                   // as going, before any member runs the program
	going    []func()                                   // append the calls that attached descriptions make after crak has told the process to go
	err      error
}

// Programs compiles a group. The interpreter gets a program that makes the first processes. Each process gets a program, which also
// makes its children. Each further thread gets a program.
func Programs(t *Target, all []*Process) (*Output, error) {
	out := &Output{Set: &program.Set{Control: t.Control}, Shared: make(map[image.MemoryID]program.Arg), Kept: make(map[image.Pid][]image.Run),
		Turns: make(map[image.Pid]program.Arg)}
	var interpreter *program.Builder
	if !t.Mode.First {
		interpreter = out.Set.Build("interpreter")
	}
	uses := Uses(t.Group)
	var members []*compiler
	for _, p := range all {
		out.Turns[p.Pid] = out.Set.Variable(make([]byte, 4))
		members = append(members, &compiler{target: t, turn: out.Turns[p.Pid], process: p, uses: uses, set: out.Set, shared: out.Shared,
			b:       out.Set.Build(fmt.Sprintf("pid %d", p.Pid)),
			numbers: make(map[image.DescriptionID][]image.Descriptor)})
	}
	tr, err := newTree(t, members)
	if err != nil {
		return nil, err
	}
	tr.top.b = tr.root.b
	if interpreter != nil {
		tr.top.b = interpreter
	}
	if err := tr.compile(out); err != nil {
		return nil, err
	}
	for _, c := range members {
		if kept := c.keptPages(); kept != nil {
			out.Kept[c.process.Pid] = kept
		}
	}
	if out.Set.Full {
		return nil, fmt.Errorf("pid %d: a restart takes more than %d system calls", t.Group.Root, program.MostInstructions)
	}
	return out, nil
}

// compile writes all programs.
func (tr *tree) compile(out *Output) error {
	set := out.Set
	for _, n := range tr.nodes {
		if n.b == nil {
			n.b = set.Build(n.name())
		}
	}
	tr.findHolders(tr.root.member.target.Group)
	tr.makeCounters(set)
	if tr.top.kind == theInterpreter {
		tr.interpreter(out)
	}
	for _, n := range tr.nodes {
		switch n.kind {
		case aMember:
			n.member.tree = tr
			if err := n.member.compile(); err != nil {
				return err
			}
		case aZombie:
			tr.exist.arriveIfAwaited(n.b, "it exists")
			tr.begin(n)
			tr.settle(n)
			tr.end(n)
		case aHelper:
			tr.begin(n)
			tr.settle(n)
			n.b.Call(unix.SYS_EXIT_GROUP, program.Const(0))
		}
	}
	return nil
}

// interpreter writes the interpreter's program. With CLONE_PARENT the root is crak's child. With Mode.Apart the root is the
// interpreter's child, and the interpreter exits when crak tells it to.
func (tr *tree) interpreter(out *Output) {
	root := tr.root.member
	root.stage(tr.top.b)
	tr.begin(tr.top)
	tr.settle(tr.top)
	if root.target.Mode.Apart {
		out.Leave = root.set.Variable(make([]byte, 4))
		tr.top.b.Await(out.Leave, 1).Note("crak needs the interpreter no more")
	}
	tr.top.b.Call(unix.SYS_EXIT_GROUP, program.Const(0))
}

// compile writes the programs of a member.
func (c *compiler) compile() error {
	c.report(StageBegun, "the process exists")
	if c.node == c.tree.top {
		c.ownProc()
		c.stage(c.b)
	}
	if err := c.prepare(); err != nil {
		return err
	}
	c.emptyInherited()
	c.waits = c.waitingTimers()
	for _, info := range c.process.Pending {
		c.pending |= 1 << (info.Signal() - 1)
	}
	c.tree.begin(c.node)
	c.memoryMap()
	c.report(StageMapped, "memory is mapped")
	c.wait("memory is filled")
	for _, child := range c.node.last {
		c.tree.fork(c.node, child)
	}
	c.tree.settle(c.node)
	c.memoryFinish()
	c.layout()
	c.attributes()
	c.place()
	c.threads()
	c.tree.exist.arriveIfAwaited(c.b, "it exists, with all its threads")
	c.tree.collect(c.node)
	c.table()
	c.tree.awaitStopped(c.node)
	c.signals()
	c.leader()
	return c.err
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
		if !isDead(&c.process.Threads[i]) {
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
	c.restart = c.set.Variable(program.Raw(abi.Restart{Control: int32(c.target.Control), Threads: int32(live), Initiator: int32(initiator)}))
	c.set.Point(c.restart, program.Area)
	c.set.Point(c.restart.At(8), program.AreaLength)
	c.arrived = c.set.Variable(make([]byte, 4))
	c.released = c.set.Variable(make([]byte, 4))
	c.gone = c.set.Variable([]byte{1, 0, 0, 0})
	return nil
}

// report reports a stage.
func (c *compiler) report(stage int64, reached string) {
	r := program.Report{Kind: program.Stage, Tid: int32(c.process.Pid), Program: uint32(c.b.Number), Result: stage}
	c.b.Call(unix.SYS_SENDTO, program.Const(c.target.Control), c.set.Bytes(r.Bytes()), program.Const(program.ReportSize),
		program.Const(unix.MSG_NOSIGNAL)).Want(program.ReportSize).Note(reached)
}

// wait waits until crak lets the process leave the stage that it has reached.
func (c *compiler) wait(until string) {
	c.turns++
	c.b.Await(c.turn, c.turns).Note(until)
}

func (c *compiler) fail(err error) {
	if c.err == nil {
		c.err = fmt.Errorf("pid %d: %w", c.process.Pid, err)
	}
}
