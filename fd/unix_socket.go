package fd

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// unixSocketKind is a description of a Unix socket: a single one, or an end of a connection whose ends the group has. A restart
// makes the connections anew (unix_object.go).
var unixSocketKind = kind{
	name: "unix_socket",
	is:   func(o *open) bool { return o.socket != nil },
	capture: func(c *capture, o *open) (any, error) {
		var err error
		c.object, err = c.objectOf(o, &unixObjects, func() (any, []byte, error) { return c.lookAtUnix(o) })
		return nil, err
	},
	describe: func(d image.Description) string { return fmt.Sprintf("Unix socket %d", d.Object) },
	check: func(d image.Description, env *Env) obstacle.List {
		o, err := env.known(d.Object, &unixObjects)
		if err != nil {
			return broken(err)
		}
		r, _ := unixRecord(o)
		all := checkSenders(&r)
		if r.Listener == 0 && r.Name != nil {
			all = append(all, checkName(r.Name)...)
		}
		return all
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		m, err := object[*madeUnix](d.Object, &unixObjects, env)
		if err != nil {
			return nil, err
		}
		return duplicate(m.file)
	},
	connect: func(d image.Description, env *Env) error {
		m, err := object[*madeUnix](d.Object, &unixObjects, env)
		if err != nil {
			return err
		}
		return m.join(env)
	},
}

// A serverName tells a listening socket: its name, and the inode of its file.
type serverName struct {
	name string
	file uint32
}

// findUnix asks the kernel about the Unix sockets of the group, if it has any. It returns the descriptions with those that are only in
// the queues of these sockets.
func (c *capture) findUnix(descriptions []*open) ([]*open, error) {
	var all map[uint32]*unixSocket
	c.sockets, c.servers, c.leftOut = make(map[uint32]*open), make(map[serverName]*open), make(map[uint32]bool)
	for i := 0; i < len(descriptions); i++ {
		o := descriptions[i]
		if o.override != "" && o.format() == unix.S_IFSOCK {
			c.leftOut[uint32(o.stat.Ino)] = true
		}
		o.findProtocol()
		if !strings.HasPrefix(o.protocol, "UNIX") {
			continue
		}
		if all == nil {
			var err error
			if all, err = unixSockets(); err != nil {
				return nil, err
			}
		}
		if o.socket = all[uint32(o.stat.Ino)]; o.socket == nil {
			continue
		}
		c.sockets[uint32(o.stat.Ino)] = o
		if o.socket.listening {
			c.servers[serverName{o.socket.name, o.socket.file}] = o
			continue
		}
		if o.member.Calls == nil {
			c.unseen = c.unseen || o.socket.unread > 0
			o.ofResident = all[o.socket.peer].isOfCrak()
			continue
		}
		inside, err := c.lookIntoQueue(o)
		if err != nil {
			return nil, err
		}
		c.inside = append(c.inside, inside...)
		descriptions = append(descriptions, inside...)
	}
	c.waiting = make(map[uint32]*open)
	for _, o := range c.sockets {
		for _, inode := range o.socket.waiting {
			c.waiting[inode] = o
		}
	}
	return descriptions, nil
}

// lookAtUnix returns the record and the content of a socket.
func (c *capture) lookAtUnix(o *open) (any, []byte, error) {
	s := o.socket
	r := &UnixSocket{Type: int(s.kind), Name: nameOf(s.name), Listening: s.listening, Shutdown: s.shutdown}
	if err := c.peerOf(o, r); err != nil {
		return nil, nil, err
	}
	if err := c.findName(o, r); err != nil {
		return nil, nil, err
	}
	c.later = append(c.later, func() error {
		r.Peer = c.socketObject(s.peer)
		for _, inode := range s.waiting {
			r.Waiting = append(r.Waiting, c.socketObject(inode))
		}
		s.queue.number(c.ids)
		return nil
	})
	if s.listening {
		r.Backlog = s.backlog
	}
	c.askCredentials(o, r)
	if !o.handle.asks() {
		return r, nil, nil
	}
	content, err := c.lookUnix(r, o, c.waiting[uint32(o.stat.Ino)] != nil)
	if err != nil {
		why := unixObstacle(o, err.Error())
		why.Passes = passes(err)
		return nil, nil, why
	}
	return r, content, nil
}

func unixObstacle(o *open, why string) obstacle.Obstacle {
	return obstacle.Obstacle{What: socketName(o), Detail: o.link, Why: why, Do: closeIt}
}

// socketObject is the object of a socket of the group, or 0.
func (c *capture) socketObject(inode uint32) image.ObjectID {
	o := c.sockets[inode]
	if o == nil {
		return 0
	}
	return c.table.objects[objectKey{unixObjects.name, o.inode()}]
}

// peerOf finds out what a socket is connected to. Only datagram sockets can be connected to a socket outside of the group: a
// restart connects them by name.
func (c *capture) peerOf(o *open, r *UnixSocket) error {
	s := o.socket
	for _, inode := range s.waiting {
		if c.sockets[inode] == nil {
			return unixObstacle(o, "a connection of a process outside of the group waits in it")
		}
	}
	if !s.peered || c.sockets[s.peer] != nil || c.waiting[uint32(o.stat.Ino)] != nil {
		return nil
	}
	if o.ofResident {
		return nil
	}
	if c.leftOut[s.peer] {
		r.Closed = true
		return nil
	}
	if s.kind != unix.SOCK_DGRAM && s.shutdown != 3 {
		return elsewhere{unixObstacle(o, "it is connected to a process outside of the group")}
	}
	r.Closed = s.peer == 0
	if o.handle.asks() {
		var a unix.RawSockaddrUnix
		length, err := peerName(o.handle.fd, &a)
		if err == nil {
			r.PeerName = nameFrom(&a, length)
		}
		if r.PeerName == nil && !r.Closed {
			return unixObstacle(o, "it is connected to a process outside of the group")
		}
		if r.PeerName != nil && r.PeerName.Path != "" && r.PeerName.Path[0] != '/' {
			r.PeerName.Directory, _ = os.Readlink(o.proc() + "/cwd")
		}
	}
	return nil
}

// findName finds the file of a socket's name, or the listening socket that it has its name from.
func (c *capture) findName(o *open, r *UnixSocket) error {
	s := o.socket
	if r.Name == nil {
		return nil
	}
	if !s.listening && s.kind != unix.SOCK_DGRAM {
		if l := c.servers[serverName{s.name, s.file}]; l != nil {
			c.later = append(c.later, func() error {
				r.Listener = c.socketObject(uint32(l.stat.Ino))
				return nil
			})
			return nil
		}
	}
	if r.Name.Path == "" {
		return nil
	}
	r.Name.findFile(s.file, c.openDirectories())
	if r.Name.File == nil && r.Name.Path[0] != '/' {
		r.Name.Directory, _ = os.Readlink(o.proc() + "/cwd")
	}
	return nil
}

// lookUnix reads the options and the queue through a handle.
func (c *capture) lookUnix(r *UnixSocket, o *open, waits bool) ([]byte, error) {
	socket := o.handle.fd
	var err error
	if r.Filter, err = filterOf(socket); err != nil {
		return nil, err
	}
	usual, err := c.usual(fmt.Sprint("UNIX ", r.Type), func() (*os.File, error) { return newUnix(r.Type) }, socketOptions)
	if err != nil {
		return nil, err
	}
	r.Options = usual.changed(socket)
	if waits {
		if sent, err := unix.IoctlGetInt(socket, unix.TIOCOUTQ); err != nil || sent != 0 {
			return nil, passing("it has sent data on a connection that nobody has accepted yet")
		}
	}
	events, err := eventsOf(socket, unix.POLLPRI)
	if err != nil {
		return nil, err
	}
	if r.Reset = events&unix.POLLERR != 0; r.Reset {
		if r.Type != unix.SOCK_STREAM || !r.Closed {
			return nil, passing("it has an error that the program has not seen yet")
		}
	}
	q := &o.socket.queue
	if q.refusal == nil && events&unix.POLLPRI != 0 && !slices.ContainsFunc(q.messages, func(m UnixMessage) bool { return m.OutOfBand }) {
		q.refusal = passing("out-of-band data waits in it (MSG_OOB)")
	}
	if q.refusal == nil && r.Options["pass_pidfd"] != nil && slices.ContainsFunc(q.messages, UnixMessage.isSigned) {
		q.refusal = passing("messages wait in it that give the program pidfds of their senders (SO_PASSPIDFD), which CRAK cannot send again")
	}
	r.Messages = q.messages
	return q.content, q.refusal
}
