package fd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// UnixSocket is the record of a socket of the family AF_UNIX. What waits in its receive queue is its content.
type UnixSocket struct {
	Type     int            `json:"type"` // SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET
	Name     *UnixName      `json:"name,omitempty"`
	Listener image.ObjectID `json:"listener,omitempty"` // the listening socket of the group with the same name

	Listening bool             `json:"listening,omitempty"`
	Backlog   uint32           `json:"backlog,omitempty"`
	Waiting   []image.ObjectID `json:"waiting,omitempty"` // sockets whose connections wait for accept(2), first come first

	Peer     image.ObjectID `json:"peer,omitempty"`
	PeerName *UnixName      `json:"peer_name,omitempty"` // of a peer that is not in the group
	Closed   bool           `json:"closed,omitempty"`    // the peer has been closed
	Reset    bool           `json:"reset,omitempty"`     // the peer has been closed with unread data: the next call returns ECONNRESET
	Shutdown uint8          `json:"shutdown,omitempty"`  // 1: no more receiving, 2: no more sending

	Credentials *Credentials `json:"credentials,omitempty"` // SO_PEERCRED

	Messages []UnixMessage      `json:"messages,omitempty"` // of a stream only if there are descriptors or credentials in it
	Options  map[string][]int32 `json:"options,omitempty"`
	Filter   SocketFilter       `json:"filter,omitempty"`
}

var unixObjects = objectKind{
	name: "unix_socket",
	check: func(o image.Object) error {
		_, err := unixRecord(o)
		return err
	},
	paths: pathsIn(func(r *UnixSocket, to Relocations) {
		r.Name.relocate(to)
		r.PeerName.relocate(to)
		for i := range r.Messages {
			r.Messages[i].From.relocate(to)
		}
	}),
	refers: func(o image.Object) (all References) {
		r, _ := unixRecord(o)
		for _, m := range r.Messages {
			all.Descriptions = append(all.Descriptions, m.Descriptors...)
		}
		return all
	},
}

// init sets what refers to unixObjects itself.
func init() {
	unixObjects.make = func(o image.Object, env *Env) (madeObject, error) {
		r, err := unixRecord(o)
		if err != nil {
			return nil, err
		}
		m := &madeUnix{id: o.ID, record: r}
		if err := m.make(env); err != nil {
			m.close()
			return nil, err
		}
		return m, nil
	}
}

func unixRecord(o image.Object) (UnixSocket, error) {
	r, err := decode[UnixSocket](o.Record)
	if err != nil {
		return r, fmt.Errorf("record of a Unix socket: %w", err)
	}
	total := 0
	for _, m := range r.Messages {
		if m.Size < 0 || m.Size > queueMost {
			return r, fmt.Errorf("message of %d bytes", m.Size)
		}
		if len(m.Descriptors) > rightsMost {
			return r, fmt.Errorf("message with %d descriptors", len(m.Descriptors))
		}
		if err := m.From.check(); err != nil {
			return r, err
		}
		if m.Credentials != nil && m.Credentials.Pid <= 0 {
			return r, errors.New("a message with credentials without a process")
		}
		total += m.Size
	}
	stream := r.Type == unix.SOCK_STREAM
	switch {
	case !stream && r.Type != unix.SOCK_DGRAM && r.Type != unix.SOCK_SEQPACKET:
		return r, fmt.Errorf("type %d is not one of a Unix socket", r.Type)
	case o.Size > queueMost || (!stream || len(r.Messages) > 0) && uint64(total) != o.Size:
		return r, fmt.Errorf("%d bytes, in messages %d", o.Size, total)
	case r.Listening && (r.Type == unix.SOCK_DGRAM || r.Peer != 0 || r.Closed), len(r.Waiting) > 0 && !r.Listening:
		return r, errors.New("an impossible state of a socket that listens")
	case r.Credentials != nil && r.Credentials.Pid <= 0:
		return r, errors.New("credentials without a process")
	case r.Shutdown > 3 || r.Peer == o.ID && r.Type != unix.SOCK_DGRAM:
		return r, errors.New("an impossible state")
	}
	return r, errors.Join(err, r.Name.check(), r.PeerName.check(), checkOptions(r.Options, socketOptions), r.Filter.check())
}

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
	if r.Name.Path != "" && r.Name.File == nil {
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
		// The socket is temporary, so there is no notice about it.
		listening = &madeUnix{record: UnixSocket{Type: server.Type, Name: withoutFile(server.Name), Listening: true, Backlog: 1}}
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
	// If another user has replaced the socket's file meanwhile, no connection waits in this socket.
	socket, accepted := int(listening.file.Fd()), -1
	if events, err2 := eventsOf(socket, unix.POLLIN); err2 != nil || events == 0 {
		err = fmt.Errorf("%s: another socket has this name now", server.Name)
	} else {
		accepted, _, err = unix.Accept4(socket, unix.SOCK_CLOEXEC)
		err = os.NewSyscallError("accept", err)
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, os.NewFile(uintptr(accepted), "socket"), nil
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

// fill puts the content into the queue, and then sets the options. If the peer is filled already, fill also calls shutdown(2) for the
// directions that had ended.
func (m *madeUnix) fill(o image.Object, e *Env) error {
	r := &m.record
	if o.Size > 0 || len(r.Messages) > 0 {
		content, err := e.Content(o.ID, int(o.Size))
		if err == nil {
			err = m.receive(content, e)
		}
		if err != nil {
			return err
		}
	}
	m.done = true
	if r.Closed && m.other != nil {
		if r.Reset {
			if err := e.send(int(m.file.Fd()), outgoing{data: []byte{0}}); err != nil {
				return err
			}
		}
		m.other.Close()
		m.other = nil
	}
	if len(r.Filter) > 0 {
		if err := r.Filter.attach(int(m.file.Fd())); err != nil {
			return fmt.Errorf("SO_ATTACH_FILTER: %w", err)
		}
	}
	ends := []*madeUnix{m}
	if peer, ok := e.made[r.Peer].(*madeUnix); ok && r.Peer != m.id {
		if !peer.done {
			return setOptions(int(m.file.Fd()), r.Options, e, socketOptions)
		}
		ends = append(ends, peer)
	}
	if err := setOptions(int(m.file.Fd()), r.Options, e, socketOptions); err != nil {
		return err
	}
	for _, end := range ends {
		if how := end.record.Shutdown; how != 0 && !end.record.Closed {
			if err := unix.Shutdown(int(end.file.Fd()), int(how)-1); err != nil {
				return os.NewSyscallError("shutdown", err)
			}
		}
	}
	return nil
}

// receive has the peer, or another sender, send the content.
func (m *madeUnix) receive(content []byte, e *Env) error {
	r := &m.record
	if r.Type != unix.SOCK_DGRAM {
		from := m.other
		if peer, ok := e.made[r.Peer].(*madeUnix); ok {
			from = peer.file
		}
		if from == nil {
			return errors.New("it has content, and no peer")
		}
		defer prepareToSend(int(from.Fd()))()
		messages := r.Messages
		if r.Type == unix.SOCK_STREAM && len(messages) == 0 {
			messages = []UnixMessage{{Size: len(content)}}
		}
		all, err := e.outgoing(messages, content)
		if err != nil {
			return err
		}
		return e.send(int(from.Fd()), all...)
	}
	all, err := e.outgoing(r.Messages, content)
	for i := 0; i < len(all) && err == nil; i++ {
		err = m.mail(all[i], r.Messages[i].From, e)
	}
	return err
}

func (e *Env) outgoing(messages []UnixMessage, content []byte) (all []outgoing, err error) {
	for _, message := range messages {
		rights, err := e.rights(message)
		if err != nil {
			return nil, err
		}
		all = append(all, outgoing{data: content[:message.Size], rights: rights, sender: message.Credentials})
		content = content[message.Size:]
	}
	return all, nil
}

// rights are the descriptors of a message, by their numbers in crak restart.
func (e *Env) rights(m UnixMessage) (all []int, err error) {
	for _, id := range m.Descriptors {
		f, err := e.description(id)
		if err != nil {
			return nil, err
		}
		all = append(all, int(f.Fd()))
	}
	return all, nil
}

// mail sends a datagram from a socket with the name of its sender: a socket of the group if there is one, else a temporary one.
func (m *madeUnix) mail(one outgoing, from *UnixName, e *Env) error {
	if m.other != nil && m.record.PeerName.same(from) {
		defer prepareToSend(int(m.other.Fd()))()
		return e.send(int(m.other.Fd()), one)
	}
	if m.bound != nil {
		one.to = m.bound
	}
	for _, made := range e.made {
		if s, ok := made.(*madeUnix); ok && s.record.Type == unix.SOCK_DGRAM && s.record.Name.same(from) && (one.to != nil || s.record.Peer == m.id) {
			if s.record.Peer == m.id {
				one.to = nil
			}
			defer prepareToSend(int(s.file.Fd()))()
			return e.send(int(s.file.Fd()), one)
		}
	}
	if one.to == nil {
		return errors.New("nobody can send to it: it has no name")
	}
	s, err := newUnix(unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	defer s.Close()
	if from != nil {
		bound, err := e.bind(int(s.Fd()), withoutFile(from))
		if err != nil {
			return err
		}
		defer bound.close()
	}
	defer prepareToSend(int(s.Fd()))()
	return e.send(int(s.Fd()), one)
}

func (m *madeUnix) close() {
	for _, f := range []*os.File{m.file, m.other} {
		if f != nil {
			f.Close()
		}
	}
	m.bound.close()
	m.otherBound.close()
}
