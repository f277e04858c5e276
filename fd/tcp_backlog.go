package fd

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// No call reads data on a connection that nobody has accepted, without accepting the connection. And an accepted connection cannot be put
// back. But if its client is in the group, the client can connect again, from the same port, and send the same data again. It stays the
// same open file description. So if there is such data, an initiator accepts all connections that wait in a listening socket, reads them,
// and has each client connect again, in the order in which it has accepted them. It does this in one list of system calls, which it carries out as a whole
// even if the writer is killed meanwhile (tcp_backlog_list.go).

// A backlog is what waits in a listening socket of the group.
type backlog struct {
	listener *open
	clients  []*backlogClient
	carries  bool // some of them have sent data, or have ended their sending direction
}

// A backlogClient is a client in the group of a connection that waits.
type backlogClient struct {
	*open
	waits    *inetSocket // the other end
	reading  *tcpReading // nil: the image does not have the connection (--fd)
	quiet    uint32      // milliseconds since it has connected, if it has sent nothing since then
	expected int         // bytes that it has sent
}

// The bounds of what a list can do.
const (
	backlogMost      = 24       // connections of a listening socket
	backlogBytesMost = 32 << 20 // for all connections together, if each had as much as the one with the most
)

// backlogOf finds what waits in a listening socket. It refuses connections from outside of the group.
func (c *capture) backlogOf(o *open) (*backlog, error) {
	b := &backlog{listener: o}
	if o.member.Calls == nil {
		return b, nil
	}
	t := &c.tcp
	for i := range t.all {
		s := &t.all[i]
		if s.inode != 0 || !isQueued(s.state) || t.listener(s) != o {
			continue
		}
		client := t.ends[tcpEnds{plain(s.peer), plain(s.own)}]
		if client == nil || t.group[client.inode] == nil {
			if o.member.Overrides.ofKind(tcpObjects.name, inetEndOf(s.own, s.peer).address).connectionChoice() == Reset {
				continue // a restart does not have it: the peer gets a reset
			}
			why := tcpObstacle(o, fmt.Sprintf("a connection from %s, outside of the program, waits in it", s.peer),
				fmt.Sprintf("try again when the program has accepted it, or make an image without it: --fd %s=close", s.pattern()))
			why.Passes = true
			return nil, why
		}
		b.clients = append(b.clients, &backlogClient{open: t.group[client.inode], waits: s})
		b.carries = b.carries || client.sent != 0 || s.received != 0 || s.state == unix.BPF_TCP_CLOSE_WAIT
	}
	return b, nil
}

// readBacklog reads what waits in a listening socket, when all clients have been read.
func (c *capture) readBacklog(o *open, b *backlog) {
	if len(b.clients) == 0 {
		return
	}
	c.readLast(o, func() error {
		for _, w := range b.clients {
			w.reading = c.tcp.readings[w.open]
		}
		if !b.carries {
			return b.estimateOrder()
		}
		if err := b.exchange(c); err != nil {
			why := tcpObstacle(o, "connections with data wait in it that nobody has accepted yet: "+err.Error(), "try again when the program has accepted them")
			why.Passes = true
			return why
		}
		return nil
	})
}

// estimateOrder finds out in which order clients have connected that have sent nothing. The kernel tells the time in milliseconds. Clients that
// connect one after the other get rising ports (__inet_hash_connect).
func (b *backlog) estimateOrder() error {
	for _, w := range b.clients {
		err := w.withHandle(func(socket int) error {
			info, err := unix.GetsockoptTCPInfo(socket, unix.SOL_TCP, unix.TCP_INFO)
			if err == nil {
				w.quiet = info.Last_ack_recv
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(b.clients, func(v, w *backlogClient) int {
		if v.quiet != w.quiet {
			return int(w.quiet) - int(v.quiet)
		}
		return int(v.inet.own.Port()) - int(w.inet.own.Port())
	})
	for i, w := range b.clients {
		w.settle(i, nil)
	}
	return nil
}

// settle fills in the place of a connection among those that wait, and its data.
func (w *backlogClient) settle(place int, content []byte) {
	if w.reading != nil {
		w.reading.record.Order, w.reading.content = uint32(place), content
	}
}

func (w *backlogClient) withHandle(do func(socket int) error) error {
	h, err := w.source()()
	if err != nil {
		return err
	}
	defer h.Close()
	if !h.asks() {
		return errors.New("the kernel does not let crak take a descriptor of a client (pidfd_getfd)")
	}
	return do(h.fd)
}

// check makes sure that the clients can connect again, and that all that they have sent has arrived.
func (b *backlog) check(t *tcpSockets) error {
	l := b.listener.inet
	full := 0
	for _, w := range b.clients {
		if w.waits.state != unix.BPF_TCP_SYN_RECV {
			full++
		}
	}
	switch {
	case full != len(b.clients) || full != int(l.received):
		return fmt.Errorf("%d connections wait in it, and %d in front of it", l.received, len(b.clients)-full)
	case full > backlogMost:
		return fmt.Errorf("%d connections wait in it, more than %d", full, backlogMost)
	}
	most := 0
	low, err := firstUnprivileged()
	if err != nil {
		return err
	}
	for _, w := range b.clients {
		port := w.inet.own.Port()
		for i := range t.all {
			switch s := &t.all[i]; {
			case s.state == unix.BPF_TCP_LISTEN && s != l && s.own.Port() == l.own.Port():
				return fmt.Errorf("several sockets listen on port %d", l.own.Port())
			case s != w.inet && s.own.Port() == port && (plain(s.own) == plain(w.inet.own) || s.own.Addr().IsUnspecified() || plain(s.peer) == plain(w.inet.peer)):
				return fmt.Errorf("several sockets have the port %d of a client", port)
			}
		}
		if int(port) < low {
			return fmt.Errorf("the port %d of a client takes a privilege", port)
		}
		if err := w.withHandle(w.measure); err != nil {
			return err
		}
		most = max(most, w.expected)
	}
	if most*full > backlogBytesMost {
		return fmt.Errorf("%d bytes are too many", most)
	}
	return nil
}

// measure finds out how many bytes a client has sent, and makes sure that all have arrived and that they can be sent again at once.
func (w *backlogClient) measure(socket int) error {
	info, err := unix.GetsockoptTCPInfo(socket, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return err
	}
	queued, err := unix.IoctlGetInt(socket, unix.TIOCOUTQ)
	if err != nil {
		return err
	}
	room, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return err
	}
	sent := int(info.Bytes_acked) + queued - 1 // the kernel counts the SYN, too
	w.expected = int(w.waits.received)
	switch {
	case sent != w.expected:
		return fmt.Errorf("%d of %d bytes have not arrived", sent-w.expected, sent)
	case w.inet.received != 0:
		return errors.New("a client has received data")
	case w.expected > room/2:
		return fmt.Errorf("%d bytes have no room in the send buffer of a client", w.expected)
	}
	if w.waits.state == unix.BPF_TCP_CLOSE_WAIT {
		w.expected-- // the FIN
	}
	return nil
}
