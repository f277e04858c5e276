package fd

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// tcpSocketKind is a description of a TCP socket of IPv4 or IPv6: a single socket, or an end of a connection. A restart makes the
// connections anew (tcp_connection.go, tcp_outside.go).
var tcpSocketKind = kind{
	name:  "tcp_socket",
	later: true,
	is:    func(o *open) bool { return isTCP(o) },
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

// lookAtTCP finds out the state of a socket, and with which other one it is connected. readTCP adds the rest.
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
	if o.member.Calls == nil {
		return r, nil, nil
	}
	return r, nil, c.readTCP(r, o, sender)
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
	case other == nil && c.tcp.isGone(s):
		r.Closed = true
		return sender, nil
	case (other == nil || c.tcp.group[other.inode] == nil && other.inode != 0) && privileged.have():
		r.Outside, c.table.HasOutside = new(TCPOutside), true
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
	why := tcpObstacle(o, fmt.Sprintf("it is connected to %s, outside of the program, and the program does not have CAP_NET_ADMIN and CAP_NET_RAW, which that takes", s.peer),
		fmt.Sprintf("checkpoint the process at the other end together with the program (crak run --group), or let the program close the connection before the checkpoint; "+
			"with --fd %[1]s=close a restart resets the connection, with --fd %[1]s=reconnect it makes a new one", s.pattern()))
	why.Passes = other == nil && c.tcp.isHere(plain(s.peer).Addr()) // the list of sockets may have lacked the other end
	return sender, elsewhere{why}
}

// pattern names a connection for --fd.
func (s *inetSocket) pattern() string { return "tcp:" + inetEndOf(s.own, s.peer).address }

// endLater has EndConnections reset a connection.
func (c *capture) endLater(o *open) {
	if o.member.Calls != nil {
		c.table.connections = append(c.table.connections, o.source())
	}
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
