package fd

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
)

// ptyContent reads what waits in a pseudo-terminal: first what waits for the slave, then what waits for the master.
//
// Preconditions: the writer has a handle of the master that shares the description.
func (c *capture) ptyContent(p *pty, r *Pty) ([]byte, error) {
	master := p.master.handle.fd
	events, err := ptyEvents(master)
	switch {
	case err != nil:
		return nil, err
	case events&unix.POLLPRI != 0:
		return nil, errStatus
	case !r.Opened && events&unix.POLLIN != 0:
		return nil, errors.New("input has been written to it, and no process has opened the slave yet")
	case !r.Opened && flagsAt(r.Termios, atLflag)&unix.ECHO == 0:
		return nil, errors.New("no process has opened the slave yet, and echo is off: the kernel does not show whether input has been written to it")
	case !r.Opened:
		return nil, nil
	case flagsAt(r.Termios, atLflag)&extproc != 0:
		return nil, obstacle.Obstacle{What: "pseudo-terminal " + p.path, Why: "mode EXTPROC is not supported", Do: closeIt}
	}
	peer := -1
	if p.slave != nil {
		peer = p.slave.handle.fd
	} else if peer, err = openPeer(master, unix.O_RDWR|unix.O_NONBLOCK); err != nil {
		return nil, err
	} else {
		defer unix.Close(peer)
	}
	slave, err := ptyEvents(peer) // poll(2) waits until the kernel has delivered what is on its way
	if err != nil {
		return nil, err
	}
	present, err := unix.IoctlGetInt(peer, unix.TIOCINQ)
	if err != nil {
		return nil, fmt.Errorf("FIONREAD: %w", err)
	}
	waiting, err := unix.IoctlGetInt(master, unix.TIOCINQ)
	if err != nil {
		return nil, fmt.Errorf("FIONREAD: %w", err)
	}
	full := waiting >= ptyFull
	r.Stopped = !full && slave&unix.POLLOUT == 0
	output, err := r.hasOutput(master) // after the look at the slave, which may have delivered input with its echo
	if err != nil {
		return nil, err
	}
	if r.Stopped && !r.Packet {
		if r.Held, err = ptyHeld(peer); err != nil {
			return nil, err
		}
	}
	lines := slave&unix.POLLIN != 0
	if present == 0 && !lines && !output && !isCanonical(r.Termios) {
		return nil, nil
	}
	if p.master.within != nil {
		return nil, errors.New("its master is only in the queue of a Unix socket (SCM_RIGHTS)")
	}
	l, err := c.ptyListOf(p, r)
	if err != nil {
		return nil, err
	}
	var content []byte
	if present > 0 || lines || isCanonical(r.Termios) {
		if content, r.Lines, err = l.input(p.master.member, r.Termios, lines, present); err != nil {
			return nil, err
		}
		r.Input = len(content)
		if output, err = r.hasOutput(master); err != nil { // with the echo of what was still on its way
			return nil, err
		}
	}
	if output {
		more, err := l.output(p.master.member, r.Termios)
		if err != nil {
			return nil, err
		}
		content = append(content, more...)
	}
	return content, nil
}

var errStatus = errors.New("the program has not read the status of packet mode yet")

// hasOutput tells whether something waits for the master to read it. If the buffers have no more room for output, and a worker of the
// kernel has not moved their content to the queue yet, output seems to be stopped.
func (r *Pty) hasOutput(master int) (bool, error) {
	events, err := ptyEvents(master)
	output := events&unix.POLLIN != 0
	switch {
	case err != nil:
		return false, err
	case events&unix.POLLPRI != 0:
		return false, errStatus
	case r.Stopped && output:
		return false, errors.New("output has been stopped (^S, tcflow(3)) before the program has read what came before")
	}
	return output, nil
}

// ptyHeld tells whether tcflow(3) has stopped the output of a slave, and not ^S. No call shows it: TCOON starts the output only if
// TCOOFF has stopped it. Then TCOOFF stops it again. The processes that have the terminal are frozen, so none of them notices it.
// In packet mode (TIOCPKT) the master would report it.
func ptyHeld(slave int) (bool, error) {
	runtime.LockOSThread() // nothing may come between the two calls
	defer runtime.UnlockOSThread()
	if err := unix.IoctlSetInt(slave, unix.TCXONC, tcoon); err != nil {
		return false, fmt.Errorf("TCOON: %w", err)
	}
	events, err := ptyEvents(slave)
	if err != nil || events&unix.POLLOUT == 0 {
		return false, err
	}
	return true, unix.IoctlSetInt(slave, unix.TCXONC, tcooff)
}

// Arguments of TCXONC (ioctl_tty(2)).
const (
	tcooff = 0
	tcoon  = 1
)

func ptyEvents(terminal int) (int16, error) {
	return eventsOf(terminal, unix.POLLIN|unix.POLLOUT|unix.POLLPRI)
}

// ptyListOf prepares lists of system calls for the member that has the master.
func (c *capture) ptyListOf(p *pty, r *Pty) (*ptyList, error) {
	m := p.master.member
	stat, err := m.stat()
	if err != nil {
		return nil, err
	}
	if unix.Mkdev(ptsMajor, p.key.number) == deviceOf(&stat) {
		return nil, errors.New("the process that has the master has it as its controlling terminal")
	}
	used := make(map[int]bool)
	for _, d := range c.members {
		if d.member != m {
			continue
		}
		for _, s := range d.all {
			used[s.fd] = true
		}
		for _, fd := range m.Except {
			used[fd] = true
		}
	}
	l := &ptyList{master: uint64(p.master.fd), flags: uint64(p.master.flags), locked: r.Locked, packet: r.Packet}
	next := 0
	for _, number := range []*uint64{&l.slave, &l.from, &l.to, &l.copyFrom, &l.copyTo} {
		for used[next] {
			next++
		}
		*number = uint64(next)
		next++
	}
	if r.Exclusive && p.slave != nil {
		for _, h := range p.slave.holders {
			if h.of.member == m {
				l.exclusive = true
				l.own = uint64(h.fd)
			}
		}
	}
	err = l.rehearse(m)
	if r.Exclusive && errors.Is(err, unix.EBUSY) {
		err = errors.New("it is in exclusive mode (TIOCEXCL), and the process that has the master does not have the slave")
	}
	return l, err
}
