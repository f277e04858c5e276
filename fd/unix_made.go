package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A madeUnix is a new socket.
type madeUnix struct {
	id         image.ObjectID
	record     UnixSocket
	file       *os.File
	other      *os.File // the peer, until its own object takes it. If the peer is closed: until this socket is filled
	bound      *boundName
	otherBound *boundName // of other
	joined     bool       // connected
	done       bool       // filled
	temporary  bool       // not of the program: there is no notice about it
}

func (m *madeUnix) make(e *Env) (err error) {
	r := &m.record
	if r.Peer != 0 {
		peer, err := e.unixPeer(m)
		switch {
		case err != nil:
			return err
		case !isPair(m, &peer.record): // join connects it
		case peer.made == nil:
			return e.unixPair(m, &peer.record)
		case peer.made.other == nil:
			return fmt.Errorf("its peer, object %d, has another peer", r.Peer)
		default:
			m.file, m.bound = peer.made.other, peer.made.otherBound
			peer.made.other, peer.made.otherBound = nil, nil
			return nil
		}
	}
	if r.Closed && (r.Type != unix.SOCK_DGRAM || r.PeerName == nil) {
		err := e.unixPair(m, &UnixSocket{Type: r.Type, Name: withoutFile(r.PeerName)})
		if err == nil || r.PeerName == nil {
			return err
		}
		e.Tell(fmt.Sprintf("the closed peer of a Unix socket has no name any more (%s): %v", r.PeerName, err))
		return e.unixPair(m, &UnixSocket{Type: r.Type})
	}
	if m.file, err = newUnix(r.Type); err != nil || r.Name == nil {
		return err
	}
	if r.Name.Path != "" && r.Name.File == nil && !m.temporary {
		e.Tell(fmt.Sprintf("Unix socket %s: its file had been removed, or was not found, at the checkpoint: no process can connect to this path", r.Name))
	}
	if m.bound, err = e.bind(int(m.file.Fd()), r.Name); err == nil && r.Listening {
		err = m.listenAs(r.Credentials, m.backlog(), e)
	}
	return err
}

// isPair tells whether a restart makes the two ends of a connection together. It connects a datagram socket alone if the peer has a
// name.
func isPair(m *madeUnix, peer *UnixSocket) bool {
	return peer.Peer == m.id && (m.record.Type != unix.SOCK_DGRAM || m.record.Name == nil || peer.Name == nil)
}

func withoutFile(n *UnixName) *UnixName {
	if n == nil {
		return nil
	}
	other := *n
	other.File = nil
	return &other
}

// A peerSocket is the other end of a connection: its record, and the socket if it is already made.
type peerSocket struct {
	record UnixSocket
	made   *madeUnix
}

func (e *Env) unixPeer(m *madeUnix) (p peerSocket, err error) {
	o, err := e.known(m.record.Peer, &unixObjects)
	if err != nil {
		return p, err
	}
	p.record, err = unixRecord(o)
	if err == nil && (p.record.Type != m.record.Type || m.record.Type != unix.SOCK_DGRAM && p.record.Peer != m.id) {
		err = fmt.Errorf("its peer, object %d, is not connected to it", m.record.Peer)
	}
	p.made, _ = e.made[m.record.Peer].(*madeUnix)
	return p, err
}

// unixPair makes a connection. If neither end has a name, unixPair calls socketpair(2). Otherwise one end was accepted from a listening
// socket and has the name of that socket.
func (e *Env) unixPair(m *madeUnix, other *UnixSocket) (err error) {
	r := &m.record
	if r.Type == unix.SOCK_DGRAM || r.Name == nil && other.Name == nil {
		fds, err := e.socketpair(r.Type, r.Credentials)
		if err != nil {
			return err
		}
		m.file, m.other = os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket")
		if r.Name != nil {
			m.bound, err = e.bind(fds[0], r.Name)
		}
		if other.Name != nil && err == nil {
			m.otherBound, err = e.bind(fds[1], other.Name)
		}
		return err
	}
	if r.Listener != 0 || other.Name == nil {
		m.other, m.file, err = e.unixConnection(other, r)
	} else {
		m.file, m.other, err = e.unixConnection(r, other)
	}
	return err
}

func (e *Env) unixConnection(client, server *UnixSocket) (c, s *os.File, err error) {
	var listening *madeUnix
	if server.Listener != 0 {
		o, err := e.known(server.Listener, &unixObjects)
		if err != nil {
			return nil, nil, err
		}
		if r, _ := unixRecord(o); !r.Listening {
			return nil, nil, fmt.Errorf("object %d does not listen", server.Listener)
		}
		if listening, err = object[*madeUnix](server.Listener, &unixObjects, e); err != nil {
			return nil, nil, err
		}
	} else {
		listening = &madeUnix{temporary: true, record: UnixSocket{Type: server.Type, Name: withoutFile(server.Name), Listening: true, Backlog: 1}}
		defer listening.close()
		if err := listening.make(e); err != nil {
			return nil, nil, err
		}
	}
	if listening.bound == nil || listening.file == nil {
		return nil, nil, fmt.Errorf("object %d does not listen", server.Listener)
	}
	if c, err = newUnix(client.Type); err != nil {
		return nil, nil, err
	}
	if client.Name != nil {
		var bound *boundName
		bound, err = e.bind(int(c.Fd()), client.Name)
		bound.close()
	}
	if err == nil && client.Credentials != nil { // the client gets the credentials of the listening socket
		err = listening.listenAs(client.Credentials, listening.backlog(), e)
	}
	if err == nil {
		err = os.NewSyscallError("connect", e.connectAs(server.Credentials, int(c.Fd()), listening.bound))
	}
	if err == nil && client.Credentials != nil && server.Listener != 0 {
		err = listening.listenAs(listening.record.Credentials, listening.backlog(), e)
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	if s, err = e.acceptUnix(listening, c); err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, s, nil
}

func newUnix(kind int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// backlog is how many connections may wait. More connections can wait than the program allows now, if it has reduced the backlog.
func (m *madeUnix) backlog() int {
	return max(int(min(m.record.Backlog, 1<<30)), len(m.record.Waiting))
}

// join makes the connections that make has not made as a pair. It connects the clients of a listening socket: their connections then
// wait for accept(2). It connects a datagram socket to its peer.
func (m *madeUnix) join(e *Env) error {
	if m.joined {
		return nil
	}
	m.joined = true
	r := &m.record
	for _, id := range r.Waiting {
		client, ok := e.made[id].(*madeUnix)
		if !ok || m.bound == nil {
			return fmt.Errorf("object %d: not a socket whose connection can wait", id)
		}
		if err := connectNow(int(client.file.Fd()), m.bound); err != nil {
			return fmt.Errorf("connect to %s: %w", r.Name, err)
		}
	}
	if len(r.Waiting) > int(r.Backlog) {
		if err := m.listenAs(r.Credentials, int(r.Backlog), e); err != nil {
			return err
		}
	}
	var to addressed
	switch {
	case r.Type != unix.SOCK_DGRAM:
		return nil
	case r.Peer != 0:
		peer, ok := e.made[r.Peer].(*madeUnix)
		if !ok {
			return fmt.Errorf("object %d: not a Unix socket", r.Peer)
		}
		if isPair(m, &peer.record) {
			return nil
		}
		if peer.bound == nil {
			return fmt.Errorf("its peer, object %d, has no name", r.Peer)
		}
		to = peer.bound
	case r.PeerName == nil:
		return nil
	default:
		to = &boundName{name: &UnixName{Path: r.PeerName.full(), Abstract: r.PeerName.Abstract}}
	}
	err := connectNow(int(m.file.Fd()), to)
	if err != nil && r.Peer == 0 {
		e.Tell(fmt.Sprintf("a Unix socket was connected to %s and is not connected now: %v", r.PeerName, err))
		err = nil
	}
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}
