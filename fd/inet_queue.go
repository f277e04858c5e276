package fd

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Datagram is one datagram in the queue of a socket. To, TTL and TOS are known if the program has asked the kernel for them, for
// example by IP_PKTINFO.
type Datagram struct {
	Size    int            `json:"size"`
	From    netip.AddrPort `json:"from"`
	To      netip.Addr     `json:"to,omitzero"`
	TTL     int            `json:"ttl,omitempty"`
	TOS     int            `json:"tos,omitempty"`
	Segment int            `json:"segment,omitempty"` // several datagrams of this size as one (UDP_GRO)
}

// datagramMost bounds the size of a datagram. With UDP_GRO, one can hold several that have arrived.
const datagramMost = 1 << 18

// peekDatagrams reads the queue, and leaves everything there. It misses an empty datagram if the program has read it by MSG_PEEK, and if
// it is the first one or follows another empty one. The kernel finds the next datagram by the lengths and by what was read already.
func peekDatagrams(socket int) (content []byte, all []Datagram, err error) {
	back, err := peekFrom(socket, 0)
	if err != nil {
		return nil, nil, err
	}
	defer back()
	buffer, control := make([]byte, datagramMost), make([]byte, 1024)
	for len(content) <= queueMost && len(all) <= queueMost/64 {
		d, size, err := peekDatagram(socket, buffer, control)
		switch {
		case err == unix.EAGAIN:
			return content, all, nil
		case err != nil:
			return nil, nil, os.NewSyscallError("recvmsg", err)
		case size == 0 && atEnd(socket):
			return content, all, nil
		}
		content, all = append(content, buffer[:size]...), append(all, d)
	}
	return nil, nil, errQueueTooLong
}

// atEnd tells whether the socket can receive no more. A read then returns 0 bytes at the end of the queue, as it does for an empty message.
func atEnd(socket int) bool {
	events, err := eventsOf(socket, unix.POLLRDHUP)
	return err != nil || events&(unix.POLLRDHUP|unix.POLLHUP) != 0
}

func peekDatagram(socket int, buffer, control []byte) (d Datagram, size int, err error) {
	var from sockaddr
	vector := unix.Iovec{Base: &buffer[0]}
	vector.SetLen(len(buffer))
	message := unix.Msghdr{Name: &from.bytes[0], Namelen: uint32(len(from.bytes)), Iov: &vector, Iovlen: 1, Control: &control[0]}
	message.SetControllen(len(control))
	n, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(socket), uintptr(unsafe.Pointer(&message)), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if errno != 0 {
		return d, 0, errno
	}
	d = Datagram{Size: int(n), From: from.inet()}
	parts, err := unix.ParseSocketControlMessage(control[:message.Controllen])
	for _, part := range parts {
		d.control(part)
	}
	return d, int(n), err
}

// control reads one control message (ip(7), ipv6(7), udp(7)).
func (d *Datagram) control(c unix.SocketControlMessage) {
	number := 0
	switch {
	case len(c.Data) >= 4:
		number = int(int32(binary.NativeEndian.Uint32(c.Data)))
	case len(c.Data) >= 1:
		number = int(c.Data[0])
	}
	switch [2]int32{c.Header.Level, c.Header.Type} {
	case [2]int32{unix.SOL_IP, unix.IP_PKTINFO}:
		if len(c.Data) >= 8 {
			d.To = netip.AddrFrom4([4]byte(c.Data[4:8]))
		}
	case [2]int32{unix.SOL_IPV6, unix.IPV6_PKTINFO}:
		if len(c.Data) >= 16 {
			d.To = netip.AddrFrom16([16]byte(c.Data))
		}
	case [2]int32{unix.SOL_IP, unix.IP_TTL}, [2]int32{unix.SOL_IPV6, unix.IPV6_HOPLIMIT}:
		d.TTL = number
	case [2]int32{unix.SOL_IP, unix.IP_TOS}, [2]int32{unix.SOL_IPV6, unix.IPV6_TCLASS}:
		d.TOS = number
	case [2]int32{unix.SOL_UDP, unix.UDP_GRO}:
		d.Segment = number
	}
}

func (d *Datagram) check() error {
	if d.Size < 0 || d.Size > datagramMost || d.TTL < 0 || d.TTL > 255 || d.TOS < 0 || d.TOS > 255 || d.Segment < 0 || d.Segment > 0xffff {
		return fmt.Errorf("datagram of %d bytes, TTL %d, TOS %d, segments of %d bytes", d.Size, d.TTL, d.TOS, d.Segment)
	}
	return nil
}
