package fd

import (
	"strings"

	"golang.org/x/sys/unix"
)

// A serverName tells a listening socket: its name, and the inode of its file.
type serverName struct {
	name string
	file uint32
}

// findUnix asks the kernel about the Unix sockets of the group, if it has any, and reads those of a frozen group. It returns the
// descriptions with those that are only in the queues of these sockets.
func (c *capture) findUnix(descriptions []*open) ([]*open, error) {
	c.sockets, c.servers, c.leftOut = make(map[uint32]*open), make(map[serverName]*open), make(map[uint32]bool)
	var all *unixSockets
	defer func() { all.close() }()
	for from := 0; from < len(descriptions); { // sockets in queues have queues
		var found []*open
		for _, o := range descriptions[from:] {
			if o.override != "" && o.format() == unix.S_IFSOCK {
				c.leftOut[uint32(o.stat.Ino)] = true
			}
			o.findProtocol()
			if !strings.HasPrefix(o.protocol, "UNIX") {
				continue
			}
			var err error
			if all == nil {
				if all, err = listUnix(); err != nil {
					return nil, err
				}
			}
			if o.socket, err = all.of(uint32(o.stat.Ino)); err != nil {
				return nil, err
			}
			if o.socket == nil {
				continue
			}
			found = append(found, o)
			c.sockets[uint32(o.stat.Ino)] = o
			switch {
			case o.socket.listening:
				c.servers[serverName{o.socket.name, o.socket.file}] = o
			case o.member.Calls == nil:
				c.unseen = c.unseen || o.socket.unread > 0
				peer, err := all.of(o.socket.peer)
				if err != nil {
					return nil, err
				}
				o.ofResident = peer.isOfCrak()
			}
		}
		from = len(descriptions)
		inside, err := c.readUnix(found)
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
