package restore

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/busypoll"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/tracer"
	"crak.dev/crak/restore/compile"
	"crak.dev/crak/restore/program"
)

// A member is one process of a group, and how far its restart has come.
type member struct {
	process *compile.Process
	mapped  map[mappedFile]*os.File // files of the whole group
	vdso    *foreignVDSO            // nil: the image was made under this kernel, or has no vDSO
	control *os.File                // crak's end of its socket; nil when crak needs the socket no more

	stage  stage
	seen   int            // its PID in crak's PID namespace, from stageBegun on
	pidfd  int            // from stageBegun on; else -1
	tracer *tracer.Tracer // traces a process that was stopped, from stageReady on
}

// A stage is how far a member has come.
type stage int

const (
	stageNone   stage = iota // it has sent no message
	stageBegun               // it exists
	stageMapped              // its memory is mapped, and crak fills it
	stageReady               // no call of it can fail any more
	stageStops               // it is stopped, and its threads run; only a process that was stopped reaches it
	stageRuns                // its resident has ended the freeze
	stages
)

var stageNames = [stages]string{"none", "begun", "mapped", "ready", "stops", "runs"}

func (m *member) pid() image.Pid { return m.process.Pid }

// prepareMember opens the files that one process inherits.
func (g *group) prepareMember(p *image.Process) (m *member, err error) {
	m = &member{process: &compile.Process{Process: p}, mapped: g.mapped, pidfd: -1}
	m.process.Directory, m.process.MakeDirectory = removedDirectory(p.Cwd)
	if err := g.mappedFiles(m); err != nil {
		return nil, err
	}
	if m.process.Exe, err = g.executable(p); err != nil {
		return nil, err
	}
	return m, findContent(g.img, m.process)
}

// connect makes the control socket of a member. The kernel adds the sender's PID to each message (SO_PASSCRED in unix(7)).
func (g *group) connect(m *member) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	m.control = ours
	if err := unix.SetsockoptInt(int(ours.Fd()), unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	m.process.Control, err = g.descriptors.place(theirs)
	return err
}

// begin notes which process a member is.
func (m *member) begin(seen int) (err error) {
	m.seen = seen
	if m.pidfd, err = unix.PidfdOpen(seen, 0); err != nil {
		return fmt.Errorf("pid %d: pidfd_open: %w", m.pid(), err)
	}
	return nil
}

// goOn tells a member to leave the stage it has reached.
func (m *member) goOn() error {
	if _, err := unix.Write(int(m.control.Fd()), []byte{1}); err != nil {
		return fmt.Errorf("pid %d: control socket: %w", m.pid(), err)
	}
	return nil
}

func (m *member) kill() {
	if m.pidfd >= 0 {
		unix.PidfdSendSignal(m.pidfd, unix.SIGKILL, nil, 0)
	}
}

// awaitEnd waits until a killed member has ended. If it is not crak's child, its parent reaps it.
func (m *member) awaitEnd() {
	if m.pidfd >= 0 {
		busypoll.Poll([]unix.PollFd{{Fd: int32(m.pidfd), Events: unix.POLLIN}}, killPatience)
	}
}

// status returns the wait status of a member that has ended. It is not known if the parent has reaped the member already.
func (m *member) status() (status unix.WaitStatus, known bool) {
	if m.stage == stageNone {
		return 0, false
	}
	stat, err := proc.Read(m.seen, "stat", proc.Stat)
	return unix.WaitStatus(stat.ExitCode), err == nil && stat.State == 'Z'
}

// close closes crak's end of the socket, and the pidfd.
func (m *member) close() {
	if m.control != nil {
		m.control.Close()
		m.control = nil
	}
	if m.pidfd >= 0 {
		unix.Close(m.pidfd)
		m.pidfd = -1
	}
}

// A message comes from the interpreter, from a member, or from a process that a member has made.
type message struct {
	report  program.Report
	success bool // the byte of the resident
	from    int  // the sender's PID in crak's PID namespace
}

// receive reads one message, and does not wait for it. ok is false at the end of the socket. A message without report or success
// means that there was none.
func receive(socket int) (m message, ok bool) {
	var buf [2 * program.ReportSize]byte
	var control [64]byte
	for {
		n, controlLength, _, _, err := unix.Recvmsg(socket, buf[:], control[:], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return m, true
		case err != nil || n == 0:
			return m, false
		case n == 1:
			m.success = true
		default:
			m.report, _ = program.DecodeReport(buf[:n])
		}
		m.from = sender(control[:controlLength])
		return m, true
	}
}

// sender returns the PID that the kernel has added to a message, or 0.
func sender(control []byte) int {
	all, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0
	}
	for i := range all {
		if credentials, err := unix.ParseUnixCredentials(&all[i]); err == nil {
			return int(credentials.Pid)
		}
	}
	return 0
}
