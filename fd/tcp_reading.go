package fd

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A tcpReading reads a socket through a handle: addresses, options and queue.
type tcpReading struct {
	record          *TCPSocket
	of              *open
	sender          tcpSender
	usual, usualNew *usualOptions
	urgent          bool // urgent data waits that the program has not read (POLLPRI)
	content         []byte
}

// readTCP has a socket read, when the states of all sockets are known. Bytes that have not arrived yet are waited for when all other sockets
// have been read, because that changes the sender's options for the moment.
func (c *capture) readTCP(r *TCPSocket, o *open, sender tcpSender) error {
	t := &tcpReading{record: r, of: o, sender: sender}
	var err error
	if t.usual, t.usualNew, err = c.usualTCP(r.Family, o.inet); err != nil {
		return err
	}
	refused := func(err error) error {
		if err == nil {
			return nil
		}
		why := tcpObstacle(o, err.Error(), "")
		why.Passes = passes(err)
		var full notArrived
		if errors.As(err, &full) {
			why.Do, why.Passes = full.advice(), true
		}
		return why
	}
	c.readLater(o, func() error {
		if !o.handle.asks() {
			return tcpObstacle(o, "the kernel does not let crak take a descriptor of it (pidfd_getfd)", "")
		}
		return refused(t.read())
	})
	switch {
	case r.Outside != nil:
		c.readLast(o, func() (err error) {
			t.content, err = c.table.lookOutside(r, o)
			return refused(err)
		})
	case sender.sent > 0:
		c.readLast(o, func() error { return refused(t.readQueue()) })
	}
	c.later = append(c.later, func() error {
		c.table.setContent(c.table.objects[objectKey{tcpObjects.name, o.inode()}], t.content)
		return nil
	})
	return nil
}

// read reads what does not depend on other sockets.
func (t *tcpReading) read() error {
	r, socket := t.record, t.of.handle.fd
	if err := t.readOwn(socket); err != nil {
		return err
	}
	connected := false
	events, err := eventsOf(socket, unix.POLLRDHUP|unix.POLLPRI)
	if err != nil {
		return err
	}
	t.urgent = events&unix.POLLPRI != 0
	failed := events&unix.POLLERR != 0
	switch state := t.of.inet; {
	case r.Over:
		connected = true
	case (state == nil || state.state == unix.BPF_TCP_CLOSE) && events&unix.POLLRDHUP != 0:
		r.Over, connected = true, true
		if failed {
			r.Error = int(errorOf(socket))
		}
	case failed && !r.Reconnect:
		return passing("it has an error that the program has not seen yet")
	case state == nil || state.peer.Port() == 0:
	case r.Connecting:
		r.Remote = &state.peer
		if r.Own != nil && r.Own.Addr().Zone() != "" {
			*r.Remote = netip.AddrPortFrom(state.peer.Addr().WithZone(r.Own.Addr().Zone()), state.peer.Port())
		}
	default:
		connected = true
		if err := t.readRemote(socket); err != nil {
			return err
		}
	}
	if err := t.readOptions(socket, connected); err != nil {
		return err
	}
	if r.Outside != nil || r.Reconnect || t.sender.sent > 0 || t.sender.open == nil && !r.Closed && !r.Over {
		return nil
	}
	return t.readQueue()
}

// known tells whether sock_diag(7) has shown the addresses of both ends. It does not show the zone of an IPv6 address.
func (t *tcpReading) known() bool {
	s := t.of.inet
	return s != nil && s.family == unix.AF_INET && s.peer.Port() != 0
}

func (t *tcpReading) readOwn(socket int) error {
	at := netip.AddrPort{}
	if t.known() {
		at = t.of.inet.own
	} else {
		own, err := ownAddress(socket)
		if err != nil {
			return err
		}
		at = own.inet()
	}
	if at.Port() != 0 || !at.Addr().IsUnspecified() {
		t.record.Own = &at
	}
	return nil
}

func (t *tcpReading) readRemote(socket int) error {
	if t.known() {
		t.record.Remote = &t.of.inet.peer
		return nil
	}
	remote, err := peerAddress(socket)
	if err != nil {
		return fmt.Errorf("getpeername: %w", err)
	}
	at := remote.inet()
	t.record.Remote = &at
	return nil
}

// readQueue reads what waits in the receive queue.
func (t *tcpReading) readQueue() (err error) {
	r, socket := t.record, t.of.handle.fd
	inline := r.Options["oob_inline"] != nil
	if t.sender.sent == 0 && !inline && !t.urgent && t.of.inet != nil && r.Options["peek_off"] == nil {
		if t.content, err = peekPlain(socket, int(t.of.inet.received)); err != errMarked {
			return err
		}
	}
	t.content, r.Late, r.Mark, err = peekTCP(socket, t.sender, inline)
	return err
}

// errorOf infers the error of an ended connection from its state. Reading the error would take it away from the program.
func errorOf(socket int) unix.Errno {
	info, err := unix.GetsockoptTCPInfo(socket, unix.SOL_TCP, unix.TCP_INFO)
	switch {
	case err == nil && info.Options == 0 && info.Bytes_acked == 0:
		return unix.ECONNREFUSED
	case err == nil && info.Retransmits > 0:
		return unix.ETIMEDOUT
	}
	return unix.ECONNRESET
}
