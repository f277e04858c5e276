package restore

import (
	"fmt"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/compile"
)

// A foreground is what a small shell is for its only job: it gives it the terminal, takes it back
// when the job stops or ends, and passes signals on.
//
// Without a terminal it passes signals on. Detached, the program is on its own.
type foreground struct {
	tty     *os.File // nil: none
	modes   *unix.Termios
	detach  bool
	pid     int
	pidfd   int
	signals chan os.Signal
}

// A change is news of the program, as wait(2) gives it.
type change unix.WaitStatus

func newForeground(tty *os.File, detach bool) *foreground {
	f := &foreground{detach: detach, pidfd: -1, signals: make(chan os.Signal, 16)}
	if detach || tty == nil {
		return f
	}
	if modes, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err == nil {
		f.tty, f.modes = tty, modes
		signal.Ignore(unix.SIGTTOU) // we take the terminal back from the background
	}
	return f
}

// choice is where the program goes. A job has a group of its own; detached, a session.
func (f *foreground) choice(p *image.Process) compile.GroupChoice {
	if f.detach || f.tty == nil && p.Session == p.Pid {
		return compile.OwnSession
	}
	return compile.OwnGroup
}

// adopt is told the program, which exists but does not run yet.
func (f *foreground) adopt(pid, pidfd int) {
	f.pid, f.pidfd = pid, pidfd
	if f.inForeground(unix.Getpgrp()) {
		f.give(pid)
	}
	if !f.detach {
		signal.Notify(f.signals, passedOn()...)
	}
}

// passedOn is every signal that means something to the program, and nothing to us.
func passedOn() (all []os.Signal) {
	own := map[unix.Signal]bool{unix.SIGKILL: true, unix.SIGSTOP: true, unix.SIGCHLD: true, unix.SIGURG: true,
		unix.SIGTTIN: true, unix.SIGTTOU: true, unix.SIGSEGV: true, unix.SIGBUS: true, unix.SIGFPE: true, unix.SIGILL: true,
		unix.SIGTRAP: true, unix.SIGABRT: true, unix.SIGSYS: true, unix.SIGPROF: true, unix.SIGPIPE: true}
	for s := unix.Signal(1); s <= 64; s++ {
		if !own[s] && s != 32 && s != 33 {
			all = append(all, s)
		}
	}
	return all
}

// running tells the program of its terminal's size.
func (f *foreground) running() {
	if f.tty != nil {
		f.send(unix.SIGWINCH)
	}
}

func (f *foreground) send(s unix.Signal) {
	if f.pidfd >= 0 {
		unix.PidfdSendSignal(f.pidfd, s, nil, 0)
	}
}

// follow passes signals on until the program has ended.
func (f *foreground) follow(changes <-chan change) (unix.WaitStatus, error) {
	for {
		select {
		case s := <-f.signals:
			if s == unix.SIGCONT && f.inForeground(unix.Getpgrp()) {
				f.give(f.pid)
			}
			f.send(s.(unix.Signal))
		case c, ok := <-changes:
			status := unix.WaitStatus(c)
			switch {
			case !ok:
				return 0, fmt.Errorf("the process that looks after the new PID namespace has ended")
			case status.Exited() || status.Signaled():
				return status, nil
			case status.Stopped() && f.tty != nil:
				f.stop()
			}
		}
	}
}

// stop does as the program did, if that had the terminal or wanted it: the shell shall see its job stopped.
func (f *foreground) stop() {
	modes, _ := unix.IoctlGetTermios(int(f.tty.Fd()), unix.TCGETS)
	had := f.take()
	unix.Kill(0, unix.SIGSTOP)
	// Continued. Signals that came meanwhile are in f.signals.
	if had && modes != nil && f.inForeground(unix.Getpgrp()) {
		unix.IoctlSetTermios(int(f.tty.Fd()), unix.TCSETSW, modes)
	}
}

func (f *foreground) inForeground(group int) bool {
	if f.tty == nil {
		return false
	}
	now, err := unix.IoctlGetInt(int(f.tty.Fd()), unix.TIOCGPGRP)
	return err == nil && now == group
}

func (f *foreground) give(group int) {
	unix.IoctlSetPointerInt(int(f.tty.Fd()), unix.TIOCSPGRP, group)
}

// take gets the terminal back, with the modes it had before us, if the program has it.
func (f *foreground) take() bool {
	if !f.inForeground(f.pid) {
		return false
	}
	f.give(unix.Getpgrp())
	unix.IoctlSetTermios(int(f.tty.Fd()), unix.TCSETSW, f.modes)
	return true
}

// end takes the terminal back, whatever became of the program.
func (f *foreground) end() {
	signal.Stop(f.signals)
	if f.tty != nil && f.pid != 0 {
		f.take()
	}
	if f.pidfd >= 0 {
		unix.Close(f.pidfd)
	}
}

// LeaveStandard lets go of stdin and stdout once the program runs: they are its own, and whoever is at the
// other end of a pipe waits for the last to close it.
func LeaveStandard() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer null.Close()
	unix.Dup3(int(null.Fd()), 0, 0)
	unix.Dup3(int(null.Fd()), 1, 0)
}

// waitFor reports the changes of a child until its end.
func waitFor(pid int) <-chan change {
	changes := make(chan change)
	go func() {
		for {
			var status unix.WaitStatus
			_, err := unix.Wait4(pid, &status, unix.WUNTRACED, nil)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				close(changes)
				return
			}
			changes <- change(status)
			if status.Exited() || status.Signaled() {
				return
			}
		}
	}()
	return changes
}

// pidSeen is the PID that a pidfd stands for, in the namespace of our /proc.
func pidSeen(pidfd int) (pid int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if n, err := fmt.Sscanf(line, "Pid: %d", &pid); n == 1 && err == nil {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("pidfd %d: no PID", pidfd)
}
