package fd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
)

// A madeInet is a new socket. Until it is filled, it drops every datagram that arrives.
type madeInet struct {
	record   InetSocket
	file     *os.File
	received bool // the content is in its queue
	late     bool // finish connects the socket, because its queue has datagrams of others than its peer
}

// make makes a socket that is bound and connected.
func (r *InetSocket) make(env *Env) (*madeInet, error) {
	f, err := r.open()
	if err != nil {
		return nil, err
	}
	m := &madeInet{record: *r, file: f}
	socket := int(f.Fd())
	err = rejectAll.attach(socket)
	if err == nil {
		err = setOptions(socket, r.Options, env, bindOptions, inetOptions) // some apply to a datagram when it arrives
	}
	if err == nil && r.Device != "" {
		if err = unix.SetsockoptString(socket, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, r.Device); err != nil {
			err = fmt.Errorf("network interface %s: %w", r.Device, err)
		}
	}
	if err == nil {
		err = m.place(env)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}

// place binds and connects. CRAK cannot tell whether bind(2) or connect(2) has chosen the address of a connected socket. If connect
// would choose the same address, place does not bind the socket to it. Otherwise the program could not connect the socket to a peer
// on another network later.
func (m *madeInet) place(env *Env) error {
	r, socket := &m.record, int(m.file.Fd())
	switch {
	case !r.Peer.IsValid() && !r.Local.IsValid():
		return nil
	case !r.Peer.IsValid():
		return bindTo(socket, r.Family, r.Local)
	case !r.Local.IsValid():
		return connectTo(socket, r.Family, r.Peer)
	}
	m.late = slices.ContainsFunc(r.Messages, func(d Datagram) bool { return d.From != r.Peer })
	chosen, err := r.chosenAddress(env)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", r.Peer, err)
	}
	any := netip.AddrPortFrom(unspecified(r.Family), r.Local.Port())
	if chosen == r.Local.Addr() {
		err = bindTo(socket, r.Family, any)
	}
	if chosen != r.Local.Addr() || err != nil {
		err = bindTo(socket, r.Family, r.Local)
	}
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		if err = bindTo(socket, r.Family, any); err == nil {
			env.Tell(fmt.Sprintf("a socket connected to %s has the address %s now: this machine does not have %s", r.Peer, chosen, r.Local.Addr()))
		}
	}
	if err != nil || m.late {
		return err
	}
	return connectTo(socket, r.Family, r.Peer)
}

// chosenAddress is the address that connect(2) gives to a socket that is not bound.
func (r *InetSocket) chosenAddress(env *Env) (netip.Addr, error) {
	f, err := r.open()
	if err != nil {
		return netip.Addr{}, err
	}
	defer f.Close()
	socket := int(f.Fd())
	if err := setOptions(socket, r.Options, env, bindOptions); err != nil {
		return netip.Addr{}, err
	}
	if r.Device != "" {
		if err := unix.SetsockoptString(socket, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, r.Device); err != nil {
			return netip.Addr{}, err
		}
	}
	a, err := inetSockaddr(r.Family, r.Peer)
	if err == nil {
		err = a.connect(socket)
	}
	if err != nil {
		return netip.Addr{}, err
	}
	own, err := ownAddress(socket)
	return own.inet().Addr(), err
}

func unspecified(family int) netip.Addr {
	if family == unix.AF_INET {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func bindTo(socket, family int, at netip.AddrPort) error {
	a, err := inetSockaddr(family, at)
	if err == nil {
		err = a.bind(socket)
	}
	if err != nil {
		return fmt.Errorf("bind to %s: %w", at, err)
	}
	return nil
}

func connectTo(socket, family int, peer netip.AddrPort) error {
	a, err := inetSockaddr(family, peer)
	if err == nil {
		err = a.connect(socket)
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w", peer, err)
	}
	return nil
}

// canMake tests whether the socket can be made: it makes one like it, and closes it.
func (r *InetSocket) canMake(env *Env) obstacle.List {
	if env.Elsewhere {
		return nil
	}
	m, err := r.make(&Env{})
	if err == nil {
		m.close()
		return nil
	}
	what := "socket"
	if r.Local.IsValid() {
		what += " " + r.Local.String()
	}
	return obstacle.List{{What: what, Why: err.Error(), Do: r.addressHint(err)}}
}

// addressHint says what a user can do if crak cannot bind or connect a socket to its old address.
func (r *InetSocket) addressHint(err error) string {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return "end the process that uses this port"
	case errors.Is(err, unix.EADDRNOTAVAIL), r.Local.IsValid() && r.Peer.Addr() == r.Local.Addr(): // the latter has no route if this machine has no such address
		return haveAddress(r.Local.Addr())
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return "connect this machine to the network"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "restart as a user who may do that: ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE, raw sockets CAP_NET_RAW"
	default:
		return "restart on a machine with the same network"
	}
}

func (m *madeInet) close() { m.file.Close() }
