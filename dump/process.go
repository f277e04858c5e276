package dump

import (
	"cmp"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/retry"
	"crak.dev/crak/internal/sysv"
)

// A Member is a process of the group that is checkpointed.
type Member struct {
	Pid   int
	As    func(do func() error) error // calls a function with the rights of the member alone; nil: the writer has them
	Live  int                         // TID of a live thread: if the thread group leader has exited, most files of /proc/PID are empty
	Table *fd.Table                   // descriptions and memory objects of the whole group

	Known Known // what Survey has found, or empty

	Overrides fd.Overrides // what the image records in place of some descriptors

	SelfContained bool // save the pages of private file mappings, too

	WithFiles bool // the image gets copies of the files that the member can write to

	Conn    *resident.Conn // set when the member is frozen
	Threads []abi.Thread

	StoppedBy int // the signal that stopped the process, or 0

	// Tracer calls a function while it has stopped a thread in the handler. It is set if the writer traces the process.
	Tracer func(tid int, do func() error) error

	status          proc.StatusInfo
	stat            proc.StatInfo
	process         image.Process
	executableOwner *image.FileOwner
	plan            plan // which pages to save, and when

	entries []proc.SmapsEntry
	library string          // path of libcrak.so
	quick   bool            // the flags in entries are those of Known, except for the VMAs in fresh
	fresh   map[uint64]bool // starts of the VMAs that are not in Known
	waiting []waiting       // one for each thread

	askedEarly bool  // the initiator gets askEarly with the proof
	times      times // as the initiator has last told them

	files *files // behind mappings: those of the group, while mappings is called

	policies map[uint64]*image.MemoryPolicy // by the start of a mapping
	unread   map[uint64][]byte              // events of contexts of kernel AIO, by the start of a ring

	secureBits  uint32          // of the initiator, and taken for those of every thread
	descriptors *fd.Descriptors // between Read and finish
	views       int             // fd.Member.Views
	obstacles   obstacle.List   // of this member

	sets      sysv.SetLimits   // of its IPC namespace
	queues    sysv.QueueLimits // of its IPC namespace
	lastSet   int              // index
	lastQueue int              // index

	descriptorTable bool // it has a local descriptor table
	noCPUID         bool // the initiator, at least, may not execute CPUID
}

// Read records the state that does not depend on other members: what /proc and the initiator say of the frozen process. Several
// members can be read at the same time. The error means that the process cannot be read.
func (m *Member) Read() error { return m.as(m.read) }

// as calls a function with the rights of the member alone.
func (m *Member) as(do func() error) error {
	if m.As == nil {
		return do()
	}
	return m.As(do)
}

func (m *Member) read() error {
	var err error
	if m.status, err = proc.Read(m.Live, "status", proc.Status); err != nil {
		return m.fail(err)
	}
	if m.stat, err = proc.Read(m.Live, "stat", proc.Stat); err != nil {
		return m.fail(err)
	}
	if m.Conn != nil && m.Tracer == nil && m.stat.State == 'T' {
		m.obstacles = append(m.obstacles, obstacle.Obstacle{Pid: m.Pid, What: "stopped", Why: "it was stopped inside the handler of the freeze signal",
			Do: "continue it with kill -CONT", Passes: true})
	}
	p := &m.process
	if p.Pid, err = m.insidePid(); err != nil {
		return m.fail(err)
	}
	p.Parent = m.parent()
	leader := m.stat
	if m.Live != m.Pid { // any other thread has -1 as its exit signal
		if leader, err = proc.Read(m.Pid, "stat", proc.Stat); err != nil {
			return m.fail(err)
		}
	}
	p.ExitSignal = max(leader.ExitSignal, 0)
	if p.StoppedBy = m.StoppedBy; p.StoppedBy != 0 {
		p.StopTold = leader.ExitCode == 0 // Linux 5.17: the signal, until the parent has waited for the stop
		p.StoppedBy = cmp.Or(leader.ExitCode, p.StoppedBy)
	}
	p.ProcessGroup = inside(m.status.NSpgid, m.stat.Pgrp)
	p.Session = inside(m.status.NSsid, m.stat.Session)
	p.Foreground = m.stat.TTY != 0 && m.stat.Pgrp == m.stat.Tpgid
	p.Umask = m.status.Umask
	p.Layout = layout(&m.stat)
	p.Attributes.Dumpable = int(m.Conn.Hello.Dumpable)
	if err := m.readMappings(); err != nil { // first, because the initiator makes a mapping for a moment (askLockFuture)
		return m.fail(err)
	}
	if err := m.readContexts(); err != nil {
		return m.fail(err)
	}
	// /proc is read while the initiator answers.
	if err := m.askInitiator(func() error { return inOrder(m.threads, m.executable, m.attributes) }); err != nil {
		return m.fail(err)
	}
	if err := inOrder(m.combine, m.timersAndSignals, m.overruns, m.foreignRseq, m.freshPolicies); err != nil {
		return m.fail(err)
	}
	return nil
}

// finish completes the record with what refers to the group's table: mappings and memory objects. It adds the member's obstacles
// to the table. One member after the other is finished, so that equal groups get equal images.
//
// Preconditions: the descriptors of all members are in the table.
func (m *Member) finish(all *files, root *Member) (*image.Process, error) {
	m.files = all
	defer func() {
		m.Table.Obstacles = append(m.Table.Obstacles, m.obstacles...)
		m.obstacles = nil
	}()
	if err := m.files.enter(m); err != nil {
		return nil, m.fail(err)
	}
	m.deletedExecutable()
	known := len(m.Table.Memory)
	if err := m.as(func() error { return inOrder(m.refuseUnsupported, m.mappings, m.robust) }); err != nil {
		return nil, m.fail(err)
	}
	if err := m.segments(known, root); err != nil {
		return nil, root.fail(err)
	}
	return &m.process, nil
}

// IsSubreaper tells whether the process gets orphaned descendants as children (PR_SET_CHILD_SUBREAPER).
//
// Preconditions: Capture was called.
func (m *Member) IsSubreaper() bool { return m.process.Attributes.ChildSubreaper }

// Leader returns what Read has found about the thread group leader. alive tells whether the thread group leader has not exited:
// otherwise Read has looked at another thread.
func (m *Member) Leader() (stat *proc.StatInfo, status *proc.StatusInfo, alive bool) {
	return &m.stat, &m.status, m.Live == m.Pid
}

// insidePid is the process's PID in its own PID namespace. The PID that the resident has sent must be the same.
func (m *Member) insidePid() (image.Pid, error) {
	status := m.status
	if m.Live != m.Pid { // m.status is the status of another thread
		var err error
		if status, err = proc.Read(m.Pid, "status", proc.Status); err != nil {
			return 0, err
		}
	}
	pid := inside(status.NSpid, m.Pid)
	if said := m.Conn.Hello.Pid; said != int32(pid) {
		return 0, fmt.Errorf("its resident says that it is process %d, the kernel %d", said, pid)
	}
	return pid, nil
}

func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// combine completes the record with what follows from several of the files and answers that were read concurrently.
func (m *Member) combine() error {
	m.usedBefore()
	m.library = m.residentFile()
	for i := range m.process.Threads {
		m.process.Threads[i].Credentials.SecureBits = m.secureBits
	}
	m.refuseBits()
	return nil
}

// refuseBits refuses secure bits of a member of another user who may not set them (CAP_SETPCAP). Only the resident tells them, and a restart by
// root sets them: with some of them, a set-user-ID program keeps root's capabilities when it gives up its user ID. They do no harm
// where the member can get no privileges by executing a program.
func (m *Member) refuseBits() {
	const keepCaps = 1 << 4 // SECBIT_KEEP_CAPS: everybody may set it
	if m.secureBits&^keepCaps == 0 || m.As == nil || m.status.Uid[1] == 0 || m.status.NoNewPrivs || m.status.CapPrm&(1<<unix.CAP_SETPCAP) != 0 {
		return
	}
	m.refuse("", fmt.Sprintf("secure bits %#x of user %d", m.secureBits, m.status.Uid[1]),
		"crak cannot make sure that it has them, and a restart by root would set them", "set no_new_privs in this process as well (prctl(2))")
}

// refuseUnsupported refuses the attributes of the process and its threads that a restart cannot restore.
func (m *Member) refuseUnsupported() error {
	m.refuseFlags(&m.stat)
	if m.noCPUID {
		m.refuse("", "faulting CPUID instruction (arch_prctl(2), ARCH_SET_CPUID)", "not supported", "")
	}
	if m.descriptorTable {
		m.refuse("", "local descriptor table", "modify_ldt(2) is not supported", "")
	}
	for _, w := range m.waiting {
		m.refuseThread(w.tid, w.lost)
		if w.apart {
			m.refuse(fmt.Sprintf("thread %d", w.tid), "descriptors or a working directory of its own (unshare(2))", "not supported", "")
		}
	}
	return nil
}

// inside is the ID in the program's own PID namespace (proc.Innermost).
func inside(each []int, ours int) image.Pid { return image.Pid(proc.Innermost(each, ours)) }

// parent is the PID of the parent in the member's own PID namespace. It is 0 if the parent is not in it.
func (m *Member) parent() image.Pid {
	if len(m.status.NSpid) == 1 { // its own PID namespace is the writer's
		return image.Pid(m.stat.PPid)
	}
	status, err := proc.Read(m.stat.PPid, "status", proc.Status)
	if err != nil || len(status.NSpid) < len(m.status.NSpid) {
		return 0
	}
	return inside(status.NSpid, m.stat.PPid)
}

// fail puts the member's PID in front of the error, unless it is there already.
func (m *Member) fail(err error) error {
	who := fmt.Sprintf("pid %d", m.Pid)
	if strings.HasPrefix(err.Error(), who) {
		return err
	}
	return fmt.Errorf("%s: %w", who, err)
}

// refuse adds an obstacle of this process.
func (m *Member) refuse(where, what, why, do string) {
	m.obstacles = append(m.obstacles, obstacle.Obstacle{Pid: m.Pid, Where: where, What: what, Why: why, Do: do})
}

func (m *Member) path(name string) string { return proc.Path(m.Live, name) }

// seals asks for the seals of a file (fcntl(2), F_GET_SEALS).
func (m *Member) seals(name string) (uint32, error) {
	f, err := retry.Open(m.path(name), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(f)
	seals, err := unix.FcntlInt(uintptr(f), unix.F_GET_SEALS, 0)
	return uint32(seals), err
}
