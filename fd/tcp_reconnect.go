package fd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/firewall"
)

// beginReconnect begins a new connection to the same peer, from the same address and a port that the kernel chooses: the peer may still
// have the old connection. All new connections begin before crak waits for the first one, in fill.
func (m *madeTCP) beginReconnect(e *Env) (err error) {
	r := &m.record
	if m.file, err = newTCP(r.Family); err != nil {
		return err
	}
	e.releaseLater(r)
	socket := int(m.file.Fd())
	if err := r.setBindOptions(socket, e); err != nil {
		return err
	}
	if err := r.bindAnyPort(socket); err != nil {
		e.Tell(fmt.Sprintf("the new TCP connection to %s does not come from %s: %v", r.Remote, r.Own.Addr(), err))
	}
	if err := r.setRange(socket); err != nil {
		return err
	}
	if e.connectedBy.IsZero() {
		e.connectedBy = time.Now().Add(connectMost)
	}
	to, err := inetSockaddr(r.Family, *r.Remote)
	if err == nil {
		err = connectLater(socket, &to)
	}
	m.failed = err
	return nil
}

// bindAnyPort binds a socket to its old address. The kernel chooses the port when the socket connects.
func (r *TCPSocket) bindAnyPort(socket int) error {
	a, err := inetSockaddr(r.Family, netip.AddrPortFrom(r.Own.Addr(), 0))
	if err == nil {
		err = unix.SetsockoptInt(socket, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	if err == nil {
		err = a.bind(socket)
	}
	return err
}

// endReconnect waits for the new connection. If there is none, the program gets ECONNRESET.
func (m *madeTCP) endReconnect(e *Env) error {
	r, socket := &m.record, int(m.file.Fd())
	r.Shutdown &^= 1 // a FIN of the old peer
	err := m.failed
	if err == nil {
		err = awaitConnection(socket, e.connectedBy)
	}
	if err == nil {
		return nil
	}
	e.Tell(fmt.Sprintf("no new TCP connection to %s: %v; the program gets ECONNRESET", r.Remote, err))
	disconnect(socket)
	r.reset()
	return m.endHere(e)
}

var errNoConnection = fmt.Errorf("no answer within %v", connectMost)

// awaitConnection waits until connect(2) has succeeded or failed.
func awaitConnection(socket int, by time.Time) error {
	switch events, err := awaitEvents(socket, unix.POLLOUT, by); {
	case err != nil:
		return err
	case events == 0:
		return errNoConnection
	}
	errno, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = unix.Errno(errno)
	}
	return err
}

// makeOver makes the socket of a connection that has ended.
func (m *madeTCP) makeOver(e *Env) (err error) {
	e.releaseLater(&m.record)
	if m.file, err = newTCP(m.record.Family); err != nil {
		return err
	}
	return m.endHere(e)
}

// releaseLater lets the packets of an old connection through at the end of the restart, if crak may do that. The connection will not come
// back, so its peer gets a reset.
func (e *Env) releaseLater(r *TCPSocket) {
	if r.Outside == nil {
		return
	}
	ends := []firewall.Connection{r.ends()}
	e.late = append(e.late, func() error {
		_ = privileged.release(ends)
		return nil
	})
}

// endHere makes a connection of a new socket to a temporary one on this machine. fill ends it.
func (m *madeTCP) endHere(e *Env) error {
	r, socket := m.record, int(m.file.Fd())
	r.Device = "" // the connection need not pass through this interface; fill sets it
	l, err := newTCP(r.Family)
	if err != nil {
		return err
	}
	defer l.Close()
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 0)
	if r.Family == unix.AF_INET6 {
		at = netip.AddrPortFrom(netip.MustParseAddr("::1"), 0)
	}
	if r.Own != nil {
		if err := r.bindShared(socket, e); err != nil {
			e.Tell(fmt.Sprintf("a TCP socket whose connection has ended does not have its address %s any more: %v", r.Own, err))
		} else {
			at = netip.AddrPortFrom(r.Own.Addr(), 0)
		}
	}
	a, err := inetSockaddr(r.Family, at)
	if err == nil {
		err = a.bind(int(l.Fd()))
	}
	if err == nil && r.Error != int(unix.ECONNREFUSED) {
		err = unix.Listen(int(l.Fd()), 1)
	}
	if err == nil {
		a, err = ownAddress(int(l.Fd()))
	}
	if err != nil {
		return err
	}
	if r.Error == int(unix.ECONNREFUSED) {
		return os.NewSyscallError("connect", connectLater(socket, &a))
	}
	if err = a.connect(socket); err != nil && err != unix.EINPROGRESS { // the socket may have O_NONBLOCK already
		return os.NewSyscallError("connect", err)
	}
	own, err := ownAddress(socket)
	if err == nil {
		m.other, err = acceptFrom(int(l.Fd()), plain(own.inet()))
	}
	return err
}

// errPrivilege is why a connection to the outside cannot be put back.
var errPrivilege = errors.New("to put back the connection takes CAP_NET_ADMIN and CAP_NET_RAW in the network namespace")
