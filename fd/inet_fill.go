package fd

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

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
	return m.deliverAll(content, env)
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
	if r.Silent {
		if err := unix.Shutdown(socket, unix.SHUT_WR); err != nil && err != unix.ENOTCONN { // it has an effect also if it is not connected
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
	// If the error does not come, this is as if the network had lost it.
	_, _ = awaitEvents(socket, 0, time.Now().Add(arrivalTime))
	return connectTo(socket, r.Family, r.Peer)
}
