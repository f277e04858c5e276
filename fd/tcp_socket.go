package fd

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// tcpSocketKind is a description of a TCP socket of IPv4 or IPv6: a single socket, or an end of a connection. A restart makes the
// connections anew (tcp_connection.go, tcp_outside.go).
var tcpSocketKind = kind{
	name: "tcp_socket",
	is:   func(o *open) bool { return isTCP(o) },
	capture: func(c *capture, o *open) (any, error) {
		var err error
		c.object, err = c.objectOf(o, &tcpObjects, func() (any, []byte, error) { return c.lookAtTCP(o) })
		return nil, err
	},
	describe: func(d image.Description) string { return fmt.Sprintf("TCP socket %d", d.Object) },
	check: func(d image.Description, env *Env) obstacle.List {
		o, err := env.known(d.Object, &tcpObjects)
		if err != nil {
			return broken(err)
		}
		r, _ := tcpRecord(o)
		return r.check(env)
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		m, err := object[*madeTCP](d.Object, &tcpObjects, env)
		if err != nil {
			return nil, err
		}
		return duplicate(m.file)
	},
	connect: func(_ image.Description, env *Env) error { return env.joinTCP() },
}

func isTCP(o *open) bool { return o.protocol == "TCP" || o.protocol == "TCPv6" }

func tcpObstacle(o *open, why, do string) obstacle.Obstacle {
	detail := o.link
	if o.inet != nil {
		detail = o.inet.own.String()
		if o.inet.peer.Port() != 0 {
			detail += " - " + o.inet.peer.String()
		}
	}
	return obstacle.Obstacle{What: socketName(o), Detail: detail, Why: why, Do: cmp.Or(do, closeIt)}
}

// lookAtTCP returns the record and the content of a socket.
func (c *capture) lookAtTCP(o *open) (any, []byte, error) {
	r := &TCPSocket{Family: unix.AF_INET}
	if o.protocol == "TCPv6" {
		r.Family = unix.AF_INET6
	}
	var sender tcpSender
	var err error
	if s := o.inet; s != nil {
		r.Shutdown = s.shutdown
		switch {
		case s.state == unix.BPF_TCP_LISTEN:
			r.Listening, r.Backlog, r.Order = true, s.sent, c.tcp.order(s)
			err = c.tcp.checkWaiting(o)
		case s.state == unix.BPF_TCP_CLOSE: // only bound
		case c.tcp.isReset(o):
			r.reset()
			c.endLater(o)
		case s.state == unix.BPF_TCP_SYN_SENT:
			r.Connecting = true
		case c.tcp.isAnew(o):
			r.Reconnect = true
			c.endLater(o)
		default:
			sender, err = c.tcpPeerOf(o, r)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	switch {
	case o.handle.asks():
	case o.member.Calls == nil:
		return r, nil, nil
	default:
		return nil, nil, tcpObstacle(o, "the kernel does not let crak take a descriptor of it (pidfd_getfd)", "")
	}
	content, err := c.lookTCP(r, o, sender)
	if err != nil {
		why := tcpObstacle(o, err.Error(), "")
		why.Passes = passes(err)
		return nil, nil, why
	}
	return r, content, nil
}

// A tcpSender is the other end of a connection, which may have sent more than has arrived.
type tcpSender struct {
	open *open // nil: no process has it
	sent int   // bytes in its send queue
}

// tcpPeerOf finds the other end of a connection.
func (c *capture) tcpPeerOf(o *open, r *TCPSocket) (sender tcpSender, err error) {
	s := o.inet
	other := c.tcp.ends[tcpEnds{plain(s.peer), plain(s.own)}]
	if other == s {
		return sender, tcpObstacle(o, "it is connected to itself", "")
	}
	r.Accepted = c.tcp.listener(s) != nil
	switch {
	case other == nil && c.tcp.isHere(plain(s.peer).Addr()):
		r.Closed = true
		return sender, nil
	case (other == nil || c.tcp.group[other.inode] == nil && other.inode != 0) && privileged.have():
		r.Outside = new(TCPOutside)
		return sender, nil
	case other == nil:
	case c.tcp.group[other.inode] != nil:
		peer := c.tcp.group[other.inode]
		c.later = append(c.later, func() error {
			r.Peer = c.table.objects[objectKey{tcpObjects.name, peer.inode()}]
			return nil
		})
		c.endLater(o)
		return tcpSender{peer, int(other.sent)}, nil
	case other.inode == 0 && isQueued(other.state):
		l := c.tcp.listener(other)
		if l == nil {
			break
		}
		c.later = append(c.later, func() error {
			r.Listener = c.table.objects[objectKey{tcpObjects.name, l.inode()}]
			return nil
		})
		if o.member.Calls == nil {
			return sender, nil
		}
		c.endLater(o)
		if other.received != 0 || s.sent != 0 || s.received != 0 || other.state == unix.BPF_TCP_CLOSE_WAIT {
			why := tcpObstacle(o, "it has sent data on a connection that nobody has accepted yet", "try again when the server has accepted it")
			why.Passes = true
			return sender, why
		}
		return sender, nil
	case other.inode == 0:
		r.Closed = true
		c.endLater(o)
		return tcpSender{nil, int(other.sent)}, nil
	}
	return sender, elsewhere{tcpObstacle(o, fmt.Sprintf("it is connected to %s, outside of the program, and the program does not have CAP_NET_ADMIN and CAP_NET_RAW, which that takes", s.peer),
		fmt.Sprintf("checkpoint the process at the other end together with the program (crak run --group), or let the program close the connection before the checkpoint; "+
			"with --fd %[1]s=close a restart resets the connection, with --fd %[1]s=reconnect it makes a new one", s.pattern()))}
}

// pattern names a connection for --fd.
func (s *inetSocket) pattern() string { return "tcp:" + inetEndOf(s.own, s.peer).address }

// endLater has EndConnections reset a connection.
func (c *capture) endLater(o *open) {
	if o.member.Calls != nil {
		c.table.connections = append(c.table.connections, o.source())
	}
}

// lookTCP reads the addresses, the options and the queue through a handle.
func (c *capture) lookTCP(r *TCPSocket, o *open, sender tcpSender) ([]byte, error) {
	socket := o.handle.fd
	own, err := ownAddress(socket)
	if err != nil {
		return nil, err
	}
	if at := own.inet(); at.Port() != 0 || !at.Addr().IsUnspecified() {
		r.Own = &at
	}
	connected := false
	events, err := eventsOf(socket, unix.POLLRDHUP)
	if err != nil {
		return nil, err
	}
	failed := events&unix.POLLERR != 0
	switch state := o.inet; {
	case r.Over:
		connected = true
	case (state == nil || state.state == unix.BPF_TCP_CLOSE) && events&unix.POLLRDHUP != 0:
		r.Over, connected = true, true
		if failed {
			r.Error = int(errorOf(socket))
		}
	case failed && !r.Reconnect:
		return nil, passing("it has an error that the program has not seen yet")
	case state == nil || state.peer.Port() == 0:
	case r.Connecting:
		r.Remote = &state.peer
		if own.inet().Addr().Zone() != "" {
			*r.Remote = netip.AddrPortFrom(state.peer.Addr().WithZone(own.inet().Addr().Zone()), state.peer.Port())
		}
	default:
		remote, err := peerAddress(socket)
		if err != nil {
			return nil, fmt.Errorf("getpeername: %w", err)
		}
		at := remote.inet()
		r.Remote, connected = &at, true
	}
	if err := c.lookAtOptions(r, socket, connected); err != nil {
		return nil, err
	}
	switch {
	case r.Outside != nil:
		return c.table.lookOutside(r, o)
	case r.Reconnect, sender.open == nil && !r.Closed && !r.Over:
		return nil, nil
	}
	var content []byte
	content, r.Late, r.Mark, err = peekTCP(socket, sender, r.Options["oob_inline"] != nil)
	return content, err
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

// check finds out whether crak can bind the address, and whether it can set the options that need privileges.
func (r *TCPSocket) check(env *Env) obstacle.List {
	switch {
	case r.Own == nil || r.Over || r.Reconnect || env.Elsewhere:
		return nil
	case r.Outside != nil:
		if err := privileged.check(r.ends()); err != nil {
			return obstacle.List{{
				What: "TCP socket", Detail: r.Own.String() + " - " + r.Remote.String(), Why: err.Error(),
				Do: fmt.Sprintf("restart as root, or with --fd tcp:%[1]s=close (the program gets ECONNRESET) or --fd tcp:%[1]s=reconnect (crak makes a new connection)",
					r.end().address),
			}}
		}
	}
	f, err := newTCP(r.Family)
	if err != nil {
		return obstacle.List{{What: "TCP socket", Why: err.Error()}}
	}
	defer f.Close()
	connected := r.Peer != 0 || r.Closed || r.Listener != 0 || r.Connecting || r.Outside != nil
	err = r.bind(int(f.Fd()), env)
	if err == nil {
		err = r.setOptions(int(f.Fd()), &Env{})
	}
	o := obstacle.Obstacle{What: "TCP socket", Detail: r.Own.String()}
	var errno unix.Errno
	errors.As(err, &errno)
	switch {
	case err == nil || errno == unix.EADDRINUSE && connected: // the address may be in TIME_WAIT; tcpConnect can use it then
		return nil
	case errno == unix.EADDRINUSE && onlyEnded(*r.Own): // bindLater waits for their end
		return nil
	case errno == unix.EADDRINUSE:
		o.Why, o.Do = "another process has this address and port",
			fmt.Sprintf("end that process (ss -tanp 'sport = %d' shows it)", r.Own.Port())
	case errno == unix.EADDRNOTAVAIL:
		o.Why, o.Do = "this machine does not have this address", haveAddress(r.Own.Addr())
		if r.Outside != nil {
			o.Do = "move the address to this machine (ip address add): the peer, " + r.Remote.String() + ", knows it"
		}
	case errno == unix.EACCES || errno == unix.EPERM:
		o.Why, o.Do = err.Error(), "restart the program as a user with this privilege (CAP_NET_BIND_SERVICE, CAP_NET_ADMIN)"
	default:
		o.Why = err.Error()
	}
	return obstacle.List{o}
}
