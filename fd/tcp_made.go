package fd

import (
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A madeTCP is a new socket.
type madeTCP struct {
	id     image.ObjectID
	record TCPSocket
	file   *os.File
	other  *os.File // the peer, until its own object takes it. If the peer is closed: until this socket is filled
	done   bool     // fill has filled this socket
	failed error    // of a new connection to the peer
}

func newTCP(family int) (*os.File, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// make makes connections and single sockets. Single sockets get their addresses later, in joinTCP: while a socket listens, no
// other one can be bound to its address.
func (m *madeTCP) make(e *Env) (err error) {
	r := &m.record
	switch {
	case r.Over:
		return m.makeOver(e)
	case r.Reconnect:
		return m.beginReconnect(e)
	case r.Outside != nil:
		return m.makeOutside(e)
	case r.Closed:
		return e.untilEnded(func() (err error) {
			m.file, m.other, err = e.tcpToClosed(r)
			return err
		}, *r.Own)
	case r.Peer != 0:
		peer, err := e.tcpPeer(m)
		switch {
		case err != nil:
			return err
		case peer.made == nil:
			return e.untilEnded(func() (err error) {
				m.file, m.other, err = e.tcpPair(r, &peer.record)
				return err
			}, *r.Own, *r.Remote)
		case peer.made.other == nil:
			return fmt.Errorf("its peer, object %d, has another peer", r.Peer)
		}
		m.file, peer.made.other = peer.made.other, nil
		return nil
	}
	if m.file, err = newTCP(r.Family); err == nil && r.isSingle() && r.Own == nil {
		err = r.setBindOptions(int(m.file.Fd()), e) // joinTCP does that for the others
	}
	return err
}

// isSingle tells whether joinTCP gives a socket its address.
func (r *TCPSocket) isSingle() bool {
	return r.Peer == 0 && !r.Closed && !r.Over && !r.Reconnect && r.Outside == nil
}

// A tcpPeer is the other end of a connection: its record, and the socket if it is already made.
type tcpPeer struct {
	record TCPSocket
	made   *madeTCP
}

func (e *Env) tcpPeer(m *madeTCP) (p tcpPeer, err error) {
	o, err := e.known(m.record.Peer, &tcpObjects)
	if err != nil {
		return p, err
	}
	p.record, err = tcpRecord(o)
	if err == nil && (p.record.Peer != m.id || !sameConnection(&p.record, &m.record)) {
		err = fmt.Errorf("its peer, object %d, is not connected to it", m.record.Peer)
	}
	p.made, _ = e.made[m.record.Peer].(*madeTCP)
	return p, err
}

// sameConnection tells whether two records have the addresses of one connection. The families of the two ends can differ
// (IPv4-mapped addresses).
func sameConnection(a, b *TCPSocket) bool {
	return a.Own != nil && b.Own != nil && a.Remote != nil && b.Remote != nil &&
		plain(*a.Own) == plain(*b.Remote) && plain(*a.Remote) == plain(*b.Own)
}

// plain is an address in one form, so that addresses from both ends of a connection and from sock_diag(7) can be compared.
func plain(at netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// joinTCP gives single sockets their addresses, when all connections exist: listening sockets in the order in which they began to
// listen, each with the connections that wait in it.
func (e *Env) joinTCP() error {
	if e.joinedTCP {
		return nil
	}
	e.joinedTCP = true
	var all []*madeTCP
	for _, made := range e.made {
		if m, ok := made.(*madeTCP); ok && m.record.isSingle() && m.record.Own != nil {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *madeTCP) int {
		if a.record.Order != b.record.Order {
			return int(a.record.Order) - int(b.record.Order)
		}
		return int(a.id) - int(b.id)
	})
	for _, m := range all {
		if !m.record.Listening {
			continue
		}
		if err := m.listen(e); err != nil {
			return fmt.Errorf("TCP socket %s: %w", m.record.Own, err)
		}
		for _, client := range all {
			if client.record.Listener != m.id {
				continue
			}
			if err := client.connect(e); err != nil {
				return err
			}
		}
	}
	for _, m := range all {
		var err error
		switch {
		case m.record.Connecting:
			err = m.connect(e)
		case m.record.Listener == 0 && !m.record.Listening:
			err = m.record.bindLater(int(m.file.Fd()), e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *madeTCP) listen(e *Env) error {
	socket := int(m.file.Fd())
	if err := m.record.bindLater(socket, e); err != nil {
		return err
	}
	return os.NewSyscallError("listen", unix.Listen(socket, int(min(m.record.Backlog, 1<<30))))
}

// connect begins a connection, and does not wait for the peer's answer.
func (m *madeTCP) connect(e *Env) error {
	socket := int(m.file.Fd())
	to, err := inetSockaddr(m.record.Family, *m.record.Remote)
	if err != nil {
		return err
	}
	return e.tcpConnect(socket, &m.record, func() error { return connectLater(socket, &to) })
}

func (m *madeTCP) close() {
	for _, f := range []*os.File{m.file, m.other} {
		if f != nil {
			f.Close()
		}
	}
}
