package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deliverAll sends the datagrams to the socket, each from its sender's address: by a socket of the group that has this address, or by a
// temporary one. A socket of IPv4 cannot send from an address of another machine without CAP_NET_RAW. Such a datagram is lost, as the
// network could have lost it.
func (m *madeInet) deliverAll(content []byte, env *Env) error {
	r, socket := &m.record, int(m.file.Fd())
	if err := SocketFilter(nil).attach(socket); err != nil {
		return err
	}
	defer widenOption(socket, "rcvbuf")()
	lost := 0
	var why error
	for i := range r.Messages {
		d := &r.Messages[i]
		err := m.deliver(d, content[:d.Size], env)
		if err != nil {
			lost++
			why = fmt.Errorf("from %s: %w", d.From, err)
		}
		content = content[d.Size:]
	}
	if lost > 0 {
		env.Tell(fmt.Sprintf("%d of %d datagrams that waited in socket %s are lost: %v", lost, len(r.Messages), r.Local, why))
	}
	return nil
}

func (m *madeInet) deliver(d *Datagram, data []byte, env *Env) error {
	r := &m.record
	if r.Type != unix.SOCK_DGRAM || !isUDP(r.Protocol) {
		return errors.New("only datagrams of UDP can be sent again")
	}
	if m.shares(env) && r.Device == "" && !r.Peer.IsValid() { // otherwise another socket with this address could get the datagram
		if connectTo(int(m.file.Fd()), r.Family, d.From) == nil {
			defer disconnect(int(m.file.Fd()))
		}
	}
	sender, own, err := m.sender(d, env)
	if err != nil {
		return err
	}
	if own {
		defer unix.Close(sender.fd)
	}
	defer widen(sender.fd)()
	to, err := inetSockaddr(sender.family, netip.AddrPortFrom(sameFamily(r.reached(d), sender.family), r.Local.Port()))
	if err != nil {
		return err
	}
	before, err := memoryInfo(int(m.file.Fd()))
	if err == nil {
		err = sendDatagram(sender.fd, data, &to, d.controls(sender.family))
	}
	if err != nil {
		return err
	}
	return before.await(int(m.file.Fd()))
}

func isUDP(protocol int) bool {
	return protocol == unix.IPPROTO_UDP || protocol == unix.IPPROTO_UDPLITE
}

// shares tells whether another socket of the group has the same port as this one.
func (m *madeInet) shares(env *Env) bool {
	for _, made := range env.made {
		if other, ok := made.(*madeInet); ok && other != m && other.record.Protocol == m.record.Protocol && other.record.Local.Port() == m.record.Local.Port() {
			return true
		}
	}
	return false
}

// reached is the address of the socket that a datagram is sent to.
func (r *InetSocket) reached(d *Datagram) netip.Addr {
	switch own := r.Local.Addr(); {
	case !own.IsUnspecified():
		return own
	case d.To.IsValid() && !d.To.IsMulticast() && d.To != netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return d.To
	case d.From.Addr().Unmap().Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		return netip.IPv6Loopback()
	}
}

// sameFamily turns an IPv4 address into an IPv4-mapped IPv6 address, or the reverse.
func sameFamily(a netip.Addr, family int) netip.Addr {
	if family == unix.AF_INET {
		return a.Unmap()
	}
	return netip.AddrFrom16(a.As16()).WithZone(a.Zone())
}

// A senderSocket sends one datagram.
type senderSocket struct{ fd, family int }

// sender finds the socket of the group that has the sender's address. own is false then. Otherwise sender makes a socket, which the
// caller must close.
func (m *madeInet) sender(d *Datagram, env *Env) (s senderSocket, own bool, err error) {
	from := d.From.Addr().Unmap()
	for _, made := range env.made {
		other, ok := made.(*madeInet)
		if !ok || other.record.Protocol != m.record.Protocol || other.record.Local.Port() != d.From.Port() {
			continue
		}
		at := other.record.Local.Addr().Unmap()
		if at == from || at.IsUnspecified() && (from.Is4() || other.record.Family == unix.AF_INET6) {
			return senderSocket{int(other.file.Fd()), other.record.Family}, false, nil
		}
	}
	s.family = familyOf(from)
	if s.fd, err = unix.Socket(s.family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, m.record.Protocol); err != nil {
		return s, false, err
	}
	// These two let a socket have an address of another machine. Ordinary users may not set the first one.
	for _, name := range []string{"ip_transparent", "ipv6_transparent", "ip_free_bind", "ipv6_free_bind"} {
		_ = bindOptions[name].set(s.fd, []int32{1})
	}
	if err := bindTo(s.fd, s.family, netip.AddrPortFrom(from, d.From.Port())); err != nil {
		unix.Close(s.fd)
		return s, false, err
	}
	return s, true, nil
}

// controls are the control messages with which deliverAll sends the datagram.
func (d *Datagram) controls(family int) []byte {
	var all []byte
	add := func(level, kind int32, data []byte) {
		room := make([]byte, unix.CmsgSpace(len(data)))
		header := (*unix.Cmsghdr)(unsafe.Pointer(&room[0]))
		header.Level, header.Type = level, kind
		header.SetLen(unix.CmsgLen(len(data)))
		copy(room[unix.CmsgLen(0):], data)
		all = append(all, room...)
	}
	number := func(n int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }
	from := sameFamily(d.From.Addr(), family)
	if family == unix.AF_INET {
		info := make([]byte, 12) // struct in_pktinfo
		*(*[4]byte)(info[4:]) = from.As4()
		add(unix.SOL_IP, unix.IP_PKTINFO, info)
		if d.TTL > 0 {
			add(unix.SOL_IP, unix.IP_TTL, number(d.TTL))
		}
		if d.TOS > 0 {
			add(unix.SOL_IP, unix.IP_TOS, number(d.TOS))
		}
	} else {
		info := make([]byte, 20) // struct in6_pktinfo
		*(*[16]byte)(info) = from.As16()
		add(unix.SOL_IPV6, unix.IPV6_PKTINFO, info)
		if d.TTL > 0 {
			add(unix.SOL_IPV6, unix.IPV6_HOPLIMIT, number(d.TTL))
		}
		if d.TOS > 0 {
			add(unix.SOL_IPV6, unix.IPV6_TCLASS, number(d.TOS))
		}
	}
	if d.Segment > 0 {
		add(unix.SOL_UDP, unix.UDP_SEGMENT, binary.NativeEndian.AppendUint16(nil, uint16(d.Segment)))
	}
	return all
}

func sendDatagram(socket int, data []byte, to *sockaddr, control []byte) error {
	vector := unix.Iovec{Base: unsafe.SliceData(data)}
	vector.SetLen(len(data))
	message := unix.Msghdr{Name: &to.bytes[0], Namelen: to.length, Iov: &vector, Iovlen: 1}
	if len(control) > 0 {
		message.Control = &control[0]
		message.SetControllen(len(control))
	}
	_, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(socket), uintptr(unsafe.Pointer(&message)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	if errno != 0 {
		return errno
	}
	return nil
}

// disconnect undoes connect(2), and also ends a connection of TCP, or its listening.
func disconnect(socket int) {
	a := sockaddr{length: unix.SizeofSockaddrInet6} // AF_UNSPEC
	_ = a.connect(socket)
}
