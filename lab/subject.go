package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A subject is a program under test. Its process is first the one that start has made, and after a restart the one that crak
// has made.
//
//	        start                 crash              restart
//	(new) ────────▶ alive ──────────────▶ ended ──────────────▶ alive
//	                  │   finish, signal    ▲
//	                  └─────────────────────┘
type subject struct {
	session *session
	name    string
	argv    []string
	env     []string
	dir     string // its working directory
	origin  string // a copy of dir from before it was started
	stdin   string
	bare    bool // without the library
	init    bool // process 1 of a PID namespace

	output *capture
	errors string // path of its stderr, and of what crak restart says
	term   *terminal

	pid    int // in the lab's PID namespace
	pidfd  int // of the program; -1: ended and reaped
	runner *exec.Cmd
	begun  time.Time
	lasted time.Duration // until its end was seen; 0: never
	over   chan struct{} // closed when the program has ended
	ended  chan struct{} // closed when runner was reaped
	status int           // of runner, once ended: exit status, or 128 and the signal
	image  string        // path of its newest image
}

// launch starts cmd as the subject's runner, and waits for its end in the background. It calls look before the process can
// be reaped, so that look finds even a process that ends at once.
func (p *subject) launch(cmd *exec.Cmd, look func(pid int) error) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	p.runner, p.begun = cmd, time.Now()
	err := look(cmd.Process.Pid)
	p.ended = make(chan struct{})
	go func(ended chan struct{}) {
		// The error repeats ProcessState, or says that output could not be copied.
		_ = cmd.Wait()
		p.status = status(cmd.ProcessState)
		close(ended)
	}(p.ended)
	return err
}

// adopt makes pid the subject's process.
func (p *subject) adopt(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("%s: pid %d: %w", p.name, pid, err)
	}
	p.release()
	p.pid, p.pidfd, p.over = pid, fd, make(chan struct{})
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	go func(over chan struct{}) {
		for awaitExit(own, time.Hour) != nil {
		}
		unix.Close(own)
		if p.term != nil {
			time.Sleep(terminalLag)
		}
		close(over)
	}(p.over)
	return nil
}

func (p *subject) release() {
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
	}
	p.pidfd = -1
}

func status(state *os.ProcessState) int {
	ws, ok := state.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return state.ExitCode()
}

// signal sends a signal to the program itself, not to its runner.
func (p *subject) signal(sig unix.Signal) error {
	if p.pidfd < 0 {
		return fmt.Errorf("%s: not running", p.name)
	}
	if err := unix.PidfdSendSignal(p.pidfd, sig, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return p.postmortem(fmt.Errorf("%s: pid %d: %w", p.name, p.pid, err))
		}
		return fmt.Errorf("%s: pid %d: signal %d: %w", p.name, p.pid, int(sig), err)
	}
	if sig == unix.SIGSTOP {
		return p.awaitStop()
	}
	return nil
}

// awaitStop waits until the program has stopped. Only the parent of a process gets an event for that.
func (p *subject) awaitStop() error {
	for deadline := time.Now().Add(p.session.lab.params.Bound); ; time.Sleep(time.Millisecond) {
		switch fields, err := stat(fmt.Sprintf("/proc/%d", p.pid)); {
		case err != nil:
			return p.postmortem(fmt.Errorf("%s: pid %d: %w", p.name, p.pid, err))
		case life(fields) == stoppedLife:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s: pid %d: does not stop", p.name, p.pid)
		}
	}
}

// postmortem adds to an error how the program ended, if it has ended.
func (p *subject) postmortem(err error) error {
	timeout := 50 * time.Millisecond
	if ending(p.pid) {
		timeout = p.session.lab.params.Bound
	}
	select {
	case <-p.over:
	case <-time.After(timeout):
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(p.session.lab.params.Bound):
	}
	return fmt.Errorf("%w; %s %w, with status %d; output: %s%s",
		err, p.name, errHasEnded, p.status, p.output.rest(), p.complaints())
}

var errHasEnded = errors.New("has ended")

// ending reports whether a process has begun to end: it may take a while on a busy machine until it has ended. Either its main thread is in
// exit(2), or another thread has ended the process, and the main thread has to take SIGKILL.
func ending(pid int) bool {
	const (
		exiting = 0x4 // PF_EXITING of include/linux/sched.h
		killed  = 1 << (unix.SIGKILL - 1)
	)
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	fields, err := stat(dir)
	if err != nil {
		return true
	}
	flags, _ := strconv.ParseUint(fmt.Sprint(fields["flags"]), 10, 64)
	pending, _ := strconv.ParseUint(fmt.Sprint(fields["signal"]), 10, 64)
	return flags&exiting != 0 || pending&killed != 0 || fields["state"] == "Z"
}

// gone waits until the program and its runner have ended.
func (p *subject) gone(bound time.Duration) error {
	deadline := time.Now().Add(bound)
	if p.pidfd >= 0 {
		if err := awaitExit(p.pidfd, bound); err != nil {
			return fmt.Errorf("%s: pid %d: %w", p.name, p.pid, err)
		}
		p.release()
		p.lasted = time.Since(p.begun)
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(time.Until(deadline)):
		return fmt.Errorf("%s: %s (pid %d) still runs %v after the program has ended",
			p.name, filepath.Base(p.runner.Path), p.runner.Process.Pid, bound)
	}
}

// awaitExit waits until the process of a pidfd has ended.
func awaitExit(pidfd int, bound time.Duration) error {
	deadline := time.Now().Add(bound)
	for {
		left := max(time.Until(deadline), 0)
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(left.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n > 0:
			return nil
		default:
			return fmt.Errorf("still running after %v", bound)
		}
	}
}

// end kills all processes of the program, and its runner.
func (p *subject) end() error {
	var err error
	if p.pidfd >= 0 {
		err = p.kill()
	}
	if p.runner != nil {
		if gone := p.gone(5 * time.Second); gone != nil {
			err = errors.Join(err, gone)
			_ = unix.Kill(-p.runner.Process.Pid, unix.SIGKILL)
			<-p.ended
		}
	}
	p.release()
	if p.term != nil {
		err = errors.Join(err, p.term.close())
		p.term = nil
	}
	return err
}

// environment lists the variables that this subject has in addition to the script's.
func (p *subject) environment() []string {
	env := append([]string{subjectVariable + p.name}, p.env...)
	if p.bare {
		return env
	}
	return append(env, "LD_PRELOAD="+p.session.lab.library)
}
