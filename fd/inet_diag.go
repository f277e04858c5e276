package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// An inetSocket is what the kernel tells about a socket of the family AF_INET or AF_INET6 (sock_diag(7), inet_diag.h).
type inetSocket struct {
	family   uint8
	state    uint8 // TCP_ESTABLISHED, …
	own      netip.AddrPort
	peer     netip.AddrPort // 0.0.0.0:0 or [::]:0 if there is none
	device   uint32         // index of the interface that it is bound to, or 0
	received uint32         // bytes in its receive queue; listening: connections that wait for accept(2)
	sent     uint32         // bytes in its send queue; listening: the backlog of listen(2)
	inode    uint32         // 0: no process has the socket, because it is closed or nobody has accepted it yet
	shutdown uint8          // 1: no more receiving, 2: no more sending
}

// Sizes and numbers of linux/inet_diag.h.
const (
	inetDiagRequest = 56 // struct inet_diag_req_v2
	inetDiagMessage = 72 // struct inet_diag_msg

	inetDiagShutdown = 8 // INET_DIAG_SHUTDOWN
)

// inetSockets lists the sockets of a protocol, IPPROTO_TCP for example, in the writer's network namespace. Any user may ask.
// A socket that is not bound is not in the list, and before Linux 6.8 a TCP socket that is only bound is not either.
// Listening sockets of one address are in the order of the kernel's table (__inet_hash). For IPv4, the socket that began to listen
// last comes first.
func inetSockets(protocol uint8) (all []inetSocket, err error) {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("sock_diag: %w", err)
	}
	defer c.Close()
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		request := make([]byte, inetDiagRequest)
		request[0], request[1] = family, protocol
		binary.NativeEndian.PutUint32(request[4:], ^uint32(0)) // sockets in every state
		answers, err := c.Execute(netlink.Message{Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump}, Data: request})
		if errors.Is(err, unix.ENOENT) { // the kernel has no such protocol
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("sock_diag: %w", err)
		}
		for _, m := range answers {
			if len(m.Data) < inetDiagMessage {
				return nil, errors.New("sock_diag: a short answer")
			}
			s := inetSocketOf(m.Data)
			if s.family != family {
				continue // a kernel without IPv6 answers with IPv4
			}
			if s.shutdown, err = shutdownOf(m.Data[inetDiagMessage:]); err != nil {
				return nil, fmt.Errorf("sock_diag: %w", err)
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// inetSocketOf decodes a struct inet_diag_msg.
func inetSocketOf(b []byte) inetSocket {
	address := func(ip []byte, port []byte) netip.AddrPort {
		a := netip.AddrFrom16([16]byte(ip))
		if b[0] == unix.AF_INET {
			a = netip.AddrFrom4([4]byte(ip[:4]))
		}
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port))
	}
	return inetSocket{
		family:   b[0],
		state:    b[1],
		own:      address(b[8:24], b[4:6]),
		peer:     address(b[24:40], b[6:8]),
		device:   binary.NativeEndian.Uint32(b[40:]),
		received: binary.NativeEndian.Uint32(b[56:]),
		sent:     binary.NativeEndian.Uint32(b[60:]),
		inode:    binary.NativeEndian.Uint32(b[68:]),
	}
}

func shutdownOf(data []byte) (uint8, error) {
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return 0, err
	}
	var how uint8
	for d.Next() {
		if d.Type() == inetDiagShutdown {
			how = d.Uint8()
		}
	}
	return how, d.Err()
}
