package fd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
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

// fill puts the datagrams into the queues of all sockets at once. No socket gets its last options before that, because a socket of the
// group can be the sender of a datagram.
func (m *madeInet) fill(o image.Object, env *Env) error {
	for id, made := range env.made {
		if to, ok := made.(*madeInet); ok && !to.received {
			if err := to.receive(env.objects[id], env); err != nil {
				return fmt.Errorf("object %d: %w", id, err)
			}
		}
	}
	return m.finish(env)
}

func (m *madeInet) receive(o image.Object, env *Env) error {
	m.received = true
	if len(m.record.Messages) == 0 {
		return nil
	}
	content, err := env.Content(o.ID, int(o.Size))
	if err != nil {
		return err
	}
	return m.mail(content, env)
}

// finish sets the state that would keep datagrams away from the socket, or that datagrams would change.
func (m *madeInet) finish(env *Env) error {
	r, socket := &m.record, int(m.file.Fd())
	if m.late {
		if err := connectTo(socket, r.Family, r.Peer); err != nil {
			return err
		}
	}
	for _, g := range r.Groups {
		if err := g.join(socket); err != nil {
			return fmt.Errorf("multicast group %s: %w", g.Address, err)
		}
	}
	if r.Refused {
		if err := r.refuse(socket); err != nil {
			return err
		}
	}
	if r.Shutdown {
		if err := unix.Shutdown(socket, unix.SHUT_RD); err != nil {
			return os.NewSyscallError("shutdown", err)
		}
	}
	if err := setOptions(socket, r.Options, env, socketOptions, datagramOptions); err != nil {
		return err
	}
	for name, device := range r.Interfaces {
		index, err := interfaceIndex(device)
		if err != nil {
			return err
		}
		if err := indexOptions[name].set(socket, index); err != nil {
			return fmt.Errorf("socket option %s: %w", name, err)
		}
	}
	if err := r.Filter.attach(socket); err != nil {
		return os.NewSyscallError("SO_ATTACH_FILTER", err)
	}
	if r.FilterLocked {
		return os.NewSyscallError("SO_LOCK_FILTER", unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_LOCK_FILTER, 1))
	}
	return nil
}

// refuse gives a connected socket the error ECONNREFUSED: it connects the socket to a port of this machine that no socket has, and
// sends a datagram. Then it connects the socket to its peer again.
func (r *InetSocket) refuse(socket int) error {
	nobody := InetSocket{Family: r.Family, Type: r.Type, Protocol: r.Protocol}
	f, err := nobody.open()
	if err != nil {
		return err
	}
	loopback := netip.IPv6Loopback()
	if r.Peer.Addr().Unmap().Is4() {
		loopback = sameFamily(netip.AddrFrom4([4]byte{127, 0, 0, 1}), r.Family)
	}
	err = bindTo(int(f.Fd()), r.Family, netip.AddrPortFrom(loopback, 0))
	var port sockaddr
	if err == nil {
		port, err = ownAddress(int(f.Fd()))
	}
	f.Close()
	if err == nil {
		err = connectTo(socket, r.Family, port.inet())
	}
	if err == nil {
		err = unix.Send(socket, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	}
	if err != nil {
		return fmt.Errorf("an ECONNREFUSED: %w", err)
	}
	poll := []unix.PollFd{{Fd: int32(socket)}}
	for {
		// If the error does not come, this is as if the network had lost it.
		if _, err := unix.Poll(poll, int(arrivalTime.Milliseconds())); err != unix.EINTR {
			break
		}
	}
	return connectTo(socket, r.Family, r.Peer)
}

func (m *madeInet) close() { m.file.Close() }
