package fd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/firewall"
)

// A heldConnection is a connection of a frozen group to the outside. Its packets are dropped.
type heldConnection struct {
	ends firewall.Connection
	take Take
}

// ReleaseConnections lets the packets of connections to the outside through again. Call it when the group goes on.
func (t *Table) ReleaseConnections() {
	var all []firewall.Connection
	for _, held := range t.held {
		all = append(all, held.ends)
	}
	t.held = nil
	if len(all) > 0 {
		_ = privileged.release(all)
	}
}

// leaveOutside drops the packets of connections to the outside until a restart has succeeded, or until crak forget. So the peer does not
// get the reset that the kernel sends when it closes the socket at the end of the group.
func (t *Table) leaveOutside(image string) {
	for _, held := range t.held {
		h, err := held.take()
		if err != nil {
			continue
		}
		if h.asks() && privileged.leave(h.fd, held.ends, image) == nil {
			_ = abort(h.fd)
		}
		h.Close()
	}
	t.held = nil
}

// Hold drops the packets of the connections of an image, until a restart has made them or until Forget. path is that of the image.
func Hold(g *image.Group, path string) (held []string, err error) {
	return withOutside(g, func(all []firewall.Connection) (err error) {
		for _, ends := range all {
			err = errors.Join(err, privileged.hold(ends, path))
		}
		return err
	})
}

// Forget lets the packets of the connections of an image through again. The kernel then resets these connections when the peers send.
func Forget(g *image.Group) (forgotten []string, err error) {
	return withOutside(g, privileged.release)
}

// withOutside calls do for the connections of an image to processes outside of the group, and returns them as text.
func withOutside(g *image.Group, do func([]firewall.Connection) error) (text []string, err error) {
	var all []firewall.Connection
	for _, o := range g.Objects {
		if o.Kind != tcpObjects.name {
			continue
		}
		r, err := tcpRecord(o)
		if err != nil {
			return nil, err
		}
		if r.Outside != nil {
			all = append(all, r.ends())
			text = append(text, r.ends().String())
		}
	}
	return text, do(all)
}

// EndConnections has the kernel reset the connections within a group when the group is killed. So none of them stays in TIME_WAIT, and a
// restart can use their addresses. The peers of connections to the outside notice nothing. Preconditions: the group is frozen, and the
// writer kills it next. path is that of the image.
func (t *Table) EndConnections(path string) {
	t.leaveOutside(path)
	for _, take := range t.connections {
		if h, err := take(); err == nil {
			if h.asks() {
				_ = abort(h.fd)
			}
			h.Close()
		}
	}
}

// abort has a later close of the socket reset the connection, so that it does not stay in TIME_WAIT.
func abort(socket int) error {
	return os.NewSyscallError("SO_LINGER", unix.SetsockoptLinger(socket, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
}
