package restore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
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

	stage  stage
	seen   int            // its PID in crak's PID namespace, from stageBegun on
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
	m = &member{process: &compile.Process{Process: p}, mapped: g.mapped}
	if m.process.Removed, err = g.workingDirectory(p); err != nil {
		return nil, err
	}
	if err := g.mappedFiles(m); err != nil {
		return nil, err
	}
	if m.process.Exe, err = g.executable(p); err != nil {
		return nil, err
	}
	return m, findContent(g.img, m.process)
}

// goOn lets a member leave the stage that it has reached.
func (g *group) goOn(m *member) error { return g.interpreter.arrive(g.programs.Turns[m.pid()]) }

// ended tells whether a member has ended, and its wait status. The status is not known if its parent has reaped it already.
// Preconditions: it has begun.
func (m *member) ended() (status unix.WaitStatus, known, ended bool) {
	stat, err := proc.Read(m.seen, "stat", proc.Stat)
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH):
		return 0, false, true
	case err != nil: // crak may have no descriptor left, for example
		return 0, false, false
	}
	known = stat.HasEnded()
	return unix.WaitStatus(stat.ExitCode), known, known
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
