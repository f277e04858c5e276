package restore

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/signals"
	"crak.dev/crak/restore/compile"
)

// A foreground does for the program what a shell does for its foreground job: it gives the terminal to the program, takes the
// terminal back when the program stops or ends, and passes signals on to the root. Without a terminal it only passes signals on.
// With --detach it does neither.
//
// The process group in the foreground may be that of another member. For example, the root is a shell and the member its job.
type foreground struct {
	tty     *os.File // nil: none
	modes   *unix.Termios
	detach  bool
	pid     int // the root's
	pidfd   int
	front   int           // the program's process group that has, or last had, the terminal
	gave    bool          // the program has got the terminal from crak
	stopped *unix.Termios // the modes that the program had when crak stopped with it
	signals chan os.Signal
}

// A change is a change of the program's state, as wait(2) reports it.
type change unix.WaitStatus

func newForeground(tty *os.File, detach bool) *foreground {
	f := &foreground{detach: detach, pidfd: -1, signals: make(chan os.Signal, 16)}
	if detach || tty == nil {
		return f
	}
	if modes, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err == nil {
		f.tty, f.modes = tty, modes
		signal.Ignore(unix.SIGTTOU) // crak takes the terminal back while it is in the background
	}
	return f
}

// choice is the process group or session for the root: a session if it is detached or its controlling terminal is one of the group's,
// else a process group of its own.
func (f *foreground) choice(g *image.Group) compile.GroupChoice {
	p := rootOf(g)
	hasTerminal := slices.ContainsFunc(fd.SessionTerminals(g), func(t fd.SessionTerminal) bool { return t.Session == p.Pid })
	if f.detach || f.tty == nil && p.Session == p.Pid || hasTerminal {
		return compile.OwnSession
	}
	return compile.OwnGroup
}

// adopt gives the terminal to the program: to the process group of the member front. The program exists, but does not run yet.
func (f *foreground) adopt(root, pidfd, front int) {
	f.pid, f.pidfd, f.front = root, pidfd, root
	if group, err := unix.Getpgid(front); err == nil {
		f.front = group
	}
	if f.inForeground(unix.Getpgrp()) {
		f.give(f.front)
	}
	if !f.detach {
		signal.Notify(f.signals, signals.NotIgnored(passedOn()...)...)
	}
}

// adoptFrom adopts the root and the member in the foreground, which are in another PID namespace.
func (f *foreground) adoptFrom(pidfds []int) error {
	if len(pidfds) != 2 {
		return fmt.Errorf("%d pidfds", len(pidfds))
	}
	defer unix.Close(pidfds[1])
	root, err := pidSeen(pidfds[0])
	if err != nil {
		return err
	}
	front, err := pidSeen(pidfds[1])
	if err == nil {
		f.adopt(root, pidfds[0], front)
	}
	return err
}

// passedOn returns the signals that are passed on to the program.
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

// running tells the program that the size of its terminal may have changed.
func (f *foreground) running() {
	if f.tty != nil {
		f.sendGroups(unix.SIGWINCH)
	}
}

// sendGroups sends a signal to the root's process group and to that in the foreground, as a terminal or a shell does.
func (f *foreground) sendGroups(s unix.Signal) {
	if group, err := unix.Getpgid(f.pid); err == nil && f.owns(group) {
		unix.Kill(-group, s)
		if group == f.front {
			return
		}
	} else {
		f.send(s)
	}
	if f.owns(f.front) {
		unix.Kill(-f.front, s)
	}
}

// owns tells whether a process of the program is in a process group. If so, the group is not a job of the user's shell.
func (f *foreground) owns(group int) bool {
	if group <= 1 || group == unix.Getpgrp() {
		return false
	}
	return slices.ContainsFunc(descendantsOf(f.pid), func(pid int) bool {
		of, err := unix.Getpgid(pid)
		return err == nil && of == group
	})
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
			if s == unix.SIGCONT {
				f.goOn()
				continue
			}
			f.send(s.(unix.Signal))
		case c, ok := <-changes:
			status := unix.WaitStatus(c)
			switch {
			case !ok:
				return 0, fmt.Errorf("process 1 of the new PID namespace has ended")
			case status.Exited() || status.Signaled():
				return status, nil
			case status.Stopped() && f.isStopped():
				f.stop()
			}
		}
	}
}

// isStopped tells whether the root is stopped, and crak has a terminal to take back. Another process may have continued the root since
// wait(2) has reported the stop.
func (f *foreground) isStopped() bool {
	if f.tty == nil {
		return false
	}
	stat, err := proc.Read(f.pid, "stat", proc.Stat)
	return err != nil || stat.State != 'R' && stat.State != 'S' && stat.State != 'D'
}

// goOn continues the program after the shell has continued crak.
func (f *foreground) goOn() {
	if f.inForeground(unix.Getpgrp()) {
		if f.stopped != nil {
			unix.IoctlSetTermios(int(f.tty.Fd()), unix.TCSETSW, f.stopped)
		}
		f.give(f.front)
	}
	f.stopped = nil
	f.sendGroups(unix.SIGCONT)
}

// stop stops crak after the program has stopped, so that the shell sees its job stopped. This thread may run on for a moment after kill(2).
// If no shell could continue crak, the kernel would not have let ^Z stop the program without crak. So the program goes on.
func (f *foreground) stop() {
	if isOrphaned() {
		f.sendGroups(unix.SIGCONT)
		return
	}
	modes, _ := unix.IoctlGetTermios(int(f.tty.Fd()), unix.TCGETS)
	if f.take() {
		f.stopped = modes
	}
	unix.Kill(0, unix.SIGSTOP)
}

// isOrphaned tells whether crak's process group is orphaned: no process that could continue it is in the same session (setpgid(2)). The
// parents of a group's processes are in the group, except that of the first one.
func isOrphaned() bool {
	for pid := os.Getpid(); ; {
		stat, err := proc.Read(pid, "stat", proc.Stat)
		if err != nil || stat.PPid <= 0 {
			return true
		}
		pid = stat.PPid
		group, err := unix.Getpgid(pid)
		if err != nil {
			return true
		}
		if group != unix.Getpgrp() {
			session, err := unix.Getsid(pid)
			own, ownErr := unix.Getsid(0)
			return err != nil || ownErr != nil || session != own
		}
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
	f.gave = f.gave || group != unix.Getpgrp()
	unix.IoctlSetPointerInt(int(f.tty.Fd()), unix.TIOCSPGRP, group)
}

// take takes the terminal back from the program, and restores the modes it had at the start. It returns false if the program
// does not have the terminal.
func (f *foreground) take() bool {
	now, err := unix.IoctlGetInt(int(f.tty.Fd()), unix.TIOCGPGRP)
	if err != nil || now == unix.Getpgrp() || now != f.front && !f.owns(now) && !f.hasEnded(now) {
		return false
	}
	f.front = now
	f.give(unix.Getpgrp())
	unix.IoctlSetTermios(int(f.tty.Fd()), unix.TCSETSW, f.modes)
	return true
}

// hasEnded tells whether a process group to which the program has given the terminal has ended.
func (f *foreground) hasEnded(group int) bool {
	return f.gave && unix.Kill(-group, 0) == unix.ESRCH
}

// end takes the terminal back, and stops passing signals on.
func (f *foreground) end() {
	signal.Stop(f.signals)
	if f.tty != nil && f.pid != 0 {
		f.take()
	}
	if f.pidfd >= 0 {
		unix.Close(f.pidfd)
	}
}

// LeaveStandard replaces crak's stdin and stdout by /dev/null. The program has them now. The reader of a pipe sees its end only
// when the last process closes it, and that must not be crak.
func LeaveStandard() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer null.Close()
	unix.Dup3(int(null.Fd()), 0, 0)
	unix.Dup3(int(null.Fd()), 1, 0)
}

// waitFor returns the state changes of a child, until its end. Meanwhile it reaps all other children: orphans of the program.
func waitFor(pid int) <-chan change {
	changes := make(chan change)
	go func() {
		for {
			var status unix.WaitStatus
			who, err := unix.Wait4(-1, &status, unix.WUNTRACED|unix.WALL, nil)
			switch {
			case err == unix.EINTR:
				continue
			case err != nil:
				close(changes)
				return
			case who != pid:
				continue
			}
			changes <- change(status)
			if status.Exited() || status.Signaled() {
				return
			}
		}
	}()
	return changes
}

// pidSeen returns the PID of a pidfd's process, in the PID namespace of crak's /proc.
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
