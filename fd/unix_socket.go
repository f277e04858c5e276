package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// unixSocketKind is a description of a Unix socket: a single one, or an end of a connection whose ends the group has. A restart
// makes the connections anew (unix_object.go).
var unixSocketKind = kind{
	name:  "unix_socket",
	later: true, // findUnix has read it
	is:    func(o *open) bool { return o.socket != nil },
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

// lookAtUnix returns the record and the content of a socket.
func (c *capture) lookAtUnix(o *open) (any, []byte, error) {
	if o.swapped {
		return nil, nil, o.isSwapped()
	}
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
	if o.member.Calls == nil {
		return r, nil, nil
	}
	content, err := s.reading.result(r, s, c.waiting[uint32(o.stat.Ino)] != nil, func() string {
		directory, _ := os.Readlink(o.proc() + "/cwd")
		return directory
	})
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
		if inode == 0 { // the other end is closed
			if o.member.Calls == nil { // the program runs, and may accept it before the freeze
				continue
			}
			why := unixObstacle(o, "a connection waits in it whose other end is closed: what it has sent cannot be read")
			why.Do, why.Passes = "try again when the program has accepted it, or "+closeIt, true
			return why
		}
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
	r.Closed = s.peer == 0 || s.kind != unix.SOCK_DGRAM // after shutdown both ways it does not matter whether the peer is open
	if s.reading.asked {
		r.PeerName = s.reading.peerName
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
	if r.Name.File != nil {
		return nil
	}
	if r.Name.Path[0] != '/' {
		r.Name.Directory, _ = os.Readlink(o.proc() + "/cwd")
	}
	return c.findMoved(o, r)
}
