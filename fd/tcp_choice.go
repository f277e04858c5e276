package fd

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// connectionChoice is what a choice for the kind of a TCP connection means. With "close" the connection is closed, and the descriptor
// stays. If its number became free, a file that the program opens next would get it, and the program would take that file for its
// connection.
func (o Override) connectionChoice() Override {
	if o == LeaveOut {
		return Reset
	}
	return o
}

// connectionByNumber is the choice Reset or Reconnect for the number of a descriptor, or "".
func (o *open) connectionByNumber() (instead Override, fd int) {
	for _, h := range o.holders {
		if instead = h.of.member.Overrides.ofNumber(h.fd); instead.keepsSocket() {
			return instead, h.fd
		}
	}
	return "", -1
}

// isReset tells whether the user has chosen to reset a connection, or its other end in the group.
func (t *tcpSockets) isReset(o *open) bool {
	if o.connection == Reset {
		return true
	}
	s := t.ends[tcpEnds{plain(o.inet.peer), plain(o.inet.own)}]
	return s != nil && t.group[s.inode] != nil && t.group[s.inode].connection == Reset
}

// isAnew tells whether the user has chosen to make a connection anew. A connection within the group comes back as it was.
func (t *tcpSockets) isAnew(o *open) bool { return o.connection == Reconnect && t.isOutside(o.inet) }

// isOutside tells whether the peer of a connection is a socket outside of the group.
func (t *tcpSockets) isOutside(s *inetSocket) bool {
	other := t.ends[tcpEnds{plain(s.peer), plain(s.own)}]
	switch {
	case other == nil:
		return !t.isGone(s)
	case other.inode == 0:
		return isQueued(other.state) && t.listener(other) == nil
	}
	return t.group[other.inode] == nil
}

// isConnection tells whether a socket has a peer, or had one.
func (r *TCPSocket) isConnection() bool {
	return r.Connecting || r.Listener != 0 || r.Peer != 0 || r.Closed || r.Over || r.Reconnect || r.Outside != nil
}

func (r *TCPSocket) end() inetEnd {
	var own, peer netip.AddrPort
	if r.Own != nil {
		own = *r.Own
	}
	if r.Remote != nil {
		peer = *r.Remote
	}
	end := inetEndOf(own, peer)
	if !own.IsValid() && !peer.IsValid() {
		end.address = ""
	}
	end.connected = r.isConnection()
	return end
}

// connection applies Reset or Reconnect to a description of an image. Both ends of a connection within the group are reset.
func (r *replacing) connection(d image.Description, instead Override) error {
	r.chosen = true
	return r.change(d.Object, func(t *TCPSocket) error {
		switch {
		case !t.isConnection():
			return fmt.Errorf("not a TCP connection, so --fd …=%s has no effect", instead)
		case instead == Reset:
			peer := t.Peer
			t.reset()
			if peer == 0 {
				return nil
			}
			return r.change(peer, func(t *TCPSocket) error {
				t.reset()
				return nil
			})
		case t.Outside != nil:
			t.Reconnect = true
		}
		return nil
	})
}

// change changes the record of a TCP socket.
func (r *replacing) change(id image.ObjectID, how func(*TCPSocket) error) error {
	at, known := r.objects[id]
	if !known || r.group.Objects[at].Kind != tcpObjects.name {
		return fmt.Errorf("not a TCP connection")
	}
	o := &r.group.Objects[at]
	t, err := tcpRecord(*o)
	if err == nil {
		err = how(&t)
	}
	if err != nil {
		return err
	}
	o.Record, err = image.MarshalText(&t)
	return err
}

// reset makes this the record of a connection that the peer has reset. What the program has not read yet stays in its queue.
func (r *TCPSocket) reset() {
	r.Over, r.Error = true, int(unix.ECONNRESET)
	r.Connecting, r.Closed, r.Reconnect = false, false, false
	r.Peer, r.Listener, r.Late = 0, 0, 0
}

// describe says which connection a socket has, and what becomes of it.
func (r *TCPSocket) describe() string {
	var words []string
	if r.Own != nil {
		words = append(words, r.Own.String())
	}
	if r.Remote != nil {
		words = append(words, "-", r.Remote.String())
	}
	switch {
	case r.Listening:
		words = append(words, "listening")
	case r.Over && r.Error != 0:
		words = append(words, unix.ErrnoName(unix.Errno(r.Error)))
	case r.Over:
		words = append(words, "ended")
	case r.Reconnect:
		words = append(words, "reconnect")
	case r.Outside != nil:
		words = append(words, "outside")
	}
	return strings.Join(words, " ")
}
