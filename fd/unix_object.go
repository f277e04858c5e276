package fd

import (
	"errors"
	"fmt"

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

	Messages     []UnixMessage      `json:"messages,omitempty"` // of a stream only if there are descriptors or credentials in it
	Options      map[string][]int32 `json:"options,omitempty"`
	Filter       SocketFilter       `json:"filter,omitempty"`
	FilterLocked bool               `json:"filter_locked,omitempty"` // SO_LOCK_FILTER
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
	total, urgent := 0, 0
	for _, m := range r.Messages {
		if m.OutOfBand {
			urgent++
		}
		if m.OutOfBand && (m.Size != 1 || len(m.Descriptors) > 0 || urgent > 1 || r.Type != unix.SOCK_STREAM) {
			return r, fmt.Errorf("out-of-band data of %d bytes", m.Size)
		}
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
	case r.Credentials != nil && r.Credentials.Pid < 0:
		return r, errors.New("credentials without a process")
	case r.Shutdown > 3 || r.Peer == o.ID && r.Type != unix.SOCK_DGRAM:
		return r, errors.New("an impossible state")
	}
	return r, errors.Join(err, r.Name.check(), r.PeerName.check(), checkOptions(r.Options, socketOptions), r.Filter.check())
}
