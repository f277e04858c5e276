package restore

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/program"
)

// A target is what programs are compiled for: this machine, the descriptors that the
// interpreter was started with, and what the user chose.
type target struct {
	group   *image.Group
	process *image.Process
	uses    map[image.MemoryID]*memoryUse

	control      int                         // socket to the member
	executable   int                         // descriptor, -1: none
	files        map[int]int                 // by index of the mapping
	memory       map[image.MemoryID]int      // of shared memory objects that are files
	segments     map[image.MemoryID]int      // IDs of SysV shared memory
	descriptions map[image.DescriptionID]int // of open file descriptions

	filled      map[int]bool      // mappings with content in the image, by index
	kernel      []proc.Mapping    // the interpreter's vdso and its kin
	credentials image.Credentials // the interpreter's
	hard        map[int]uint64    // hard limits, by resource
	now         func(clock int32) (ns int64, ok bool)
	shift       clockShift
	timerIDs    bool // PR_TIMER_CREATE_RESTORE_IDS is known
	mode        mode
}

// A groupChoice says what becomes of a member's process group and session.
type groupChoice int

const (
	groupInherit groupChoice = iota // crak's
	groupOwn                        // it leads one, in crak's session
	groupSession                    // it leads a session, without a terminal
)

// Stages that a member reports. After each it waits for a byte.
const (
	stageMapped = 1 // its memory is there and can be filled
	stageReady  = 2 // every thread is there, and nothing can fail any more
)

// A compiler makes the programs of one member.
type compiler struct {
	*target
	set      *program.Set
	b        *program.Builder                           // the thread group leader's program
	restart  program.Arg                                // struct abi_restart
	arrived  program.Arg                                // counter: threads that are ready
	released program.Arg                                // 1 once the process was told to go
	gone     program.Arg                                // 1 until a dead thread group leader has exited
	shared   map[image.MemoryID]program.Arg             // addresses of shared memory that is no file
	waits    map[int32]bool                             // timers that send their pending signal again
	pending  uint64                                     // signals that are pending for the process, a bit each
	numbers  map[image.DescriptionID][]image.Descriptor // by which the process has a description
	err      error
}

// compile makes the programs of a group with one member: the interpreter's own, the
// member's, and its threads'.
func compile(s *target, root int) (*compiler, error) {
	set := &program.Set{}
	c := &compiler{target: s, set: set, shared: make(map[image.MemoryID]program.Arg),
		numbers: make(map[image.DescriptionID][]image.Descriptor)}
	if s.mode.first {
		c.b = set.Build("pid 1", s.control)
		c.ownProc()
	} else {
		first := set.Build("interpreter", root)
		c.b = set.Build(fmt.Sprintf("pid %d", s.process.Pid), s.control)
		parent := uint64(unix.CLONE_PARENT)
		if s.mode.apart {
			parent = 0
		}
		first.Process(c.b.Number, int(s.process.Pid), parent).Note(s.process.Threads[0].Comm)
		if s.mode.apart {
			first.Call(unix.SYS_READ, program.Const(root), c.set.Variable(make([]byte, 1)), program.Const(1)).Any().
				Note("the member can do without its parent")
		}
		first.Call(unix.SYS_EXIT_GROUP, program.Const(0))
	}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	c.waits = c.waitingTimers()
	for _, info := range c.process.Pending {
		c.pending |= 1 << (info.Signal() - 1)
	}
	c.session()
	c.memoryMap()
	c.stage(stageMapped, "memory is mapped", "memory is filled")
	c.memoryFinish()
	c.layout()
	c.attributes()
	c.table()
	c.signals()
	c.threads()
	if set.Full && c.err == nil {
		c.fail(fmt.Errorf("a restart takes more than %d system calls", program.MostInstructions))
	}
	return c, c.err
}

// ownProc gives process 1 of a new PID namespace the /proc of that namespace: only a process in it can mount that.
func (c *compiler) ownProc() {
	none, root, proc := c.set.String(""), c.set.String("/"), c.set.String("proc")
	c.b.Call(unix.SYS_MOUNT, none, root, none, program.Const(unix.MS_REC|unix.MS_PRIVATE), program.Const(0)).Note("mounts are our own")
	c.b.Call(unix.SYS_MOUNT, proc, c.set.String("/proc"), proc, program.Const(procFlags), program.Const(0)).
		Note("in a container whose /proc is masked: restart it as root, or let the container see all of /proc")
}

// prepare lays out what the programs share.
func (c *compiler) prepare() error {
	live, initiator := 0, 0
	for i := range c.process.Threads {
		t := &c.process.Threads[i].Parked
		if t.Flags&abi.ThreadDead == 0 {
			live++
		}
		if t.Flags&abi.ThreadInitiator != 0 {
			if initiator != 0 {
				return errors.New("threads: two that led the freeze")
			}
			initiator = int(t.Tid)
		}
	}
	if initiator == 0 {
		return errors.New("threads: none that led the freeze")
	}
	c.restart = c.set.Variable(program.Raw(abi.Restart{Control: int32(c.control), Threads: int32(live), Initiator: int32(initiator)}))
	c.set.Point(c.restart, program.Area)
	c.set.Point(c.restart.At(8), program.AreaLength)
	c.arrived = c.set.Variable(make([]byte, 4))
	c.released = c.set.Variable(make([]byte, 4))
	c.gone = c.set.Variable([]byte{1, 0, 0, 0})
	return nil
}

// stage reports a stage, and waits for Go to let the process go on.
func (c *compiler) stage(number int64, reached, next string) {
	report := program.Report{Kind: program.Stage, Tid: int32(c.process.Pid), Program: uint32(c.b.Number), Result: number}
	c.b.Call(unix.SYS_SENDTO, program.Const(c.control), c.set.Bytes(report.Bytes()), program.Const(program.ReportSize),
		program.Const(unix.MSG_NOSIGNAL)).Want(program.ReportSize).Note(reached)
	c.b.Call(unix.SYS_READ, program.Const(c.control), c.set.Variable(make([]byte, 1)), program.Const(1)).
		Want(1).Note(next)
}

// session is early, so that the terminal can be handed over before the program runs.
func (c *compiler) session() {
	switch c.mode.group {
	case groupOwn:
		c.b.Call(unix.SYS_SETPGID, program.Const(0), program.Const(0))
	case groupSession:
		c.b.Call(unix.SYS_SETSID).Want(uint64(c.process.Pid))
	}
}
