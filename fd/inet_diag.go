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

	options    uint16 // struct inet_diag_sockopt, if there is one (Linux 5.10): bits of inetShown
	tos        uint8  // IP_TOS
	congestion string // TCP_CONGESTION; "" if the kernel does not tell
	layered    bool   // it has an upper layer protocol (TCP_ULP)
}

// inetShown are the options of struct inet_diag_sockopt.
var inetShown = map[string]uint16{
	"ip_recverr": 1 << 0, "ip_free_bind": 1 << 2, "ip_header_included": 1 << 3, "ip_transparent": 1 << 5, "ip_no_defrag": 1 << 7,
	"bind_address_no_port": 1 << 8, "ip_recverr_rfc4884": 1 << 9,
}

// inetConnectable is a bit of struct inet_diag_sockopt that every TCP socket has.
const inetConnectable = 1 << 1

// Sizes and numbers of linux/inet_diag.h.
const (
	inetDiagRequest = 56 // struct inet_diag_req_v2
	inetDiagMessage = 72 // struct inet_diag_msg

	inetDiagCongestion, inetDiagTOS, inetDiagShutdown, inetDiagLayer, inetDiagOptions = 4, 5, 8, 19, 22
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
		request[2] = 1<<(inetDiagCongestion-1) | 1<<(inetDiagTOS-1)
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
			if err = s.addAttributes(m.Data[inetDiagMessage:]); err != nil {
				return nil, fmt.Errorf("sock_diag: %w", err)
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// endedSending tells whether the program has called shutdown(2) for sending on a socket of UDP or UDP-Lite. poll(2) shows that only
// together with the end of receiving. The result is false if the kernel does not tell, and for a socket without a port.
func (c *capture) endedSending(protocol uint8, socket int) bool {
	var st unix.Stat_t
	if protocol != unix.IPPROTO_UDP && protocol != unix.IPPROTO_UDPLITE || unix.Fstat(socket, &st) != nil {
		return false
	}
	if c.silent == nil {
		c.silent = make(map[uint8]map[uint64]bool)
	}
	for range mostLists { // the list may lack a socket: see listTCP
		known := c.silent[protocol]
		if silent, listed := known[st.Ino]; listed || known != nil && !hasPort(socket) {
			return silent
		}
		known = make(map[uint64]bool)
		all, _ := inetSockets(protocol)
		for _, s := range all {
			known[uint64(s.inode)] = s.shutdown&2 != 0
		}
		c.silent[protocol] = known
	}
	return c.silent[protocol][st.Ino]
}

// hasPort tells whether a socket has an address with a port, so that the kernel lists it.
func hasPort(socket int) bool {
	name, err := unix.Getsockname(socket)
	if err != nil {
		return false
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return a.Port != 0
	case *unix.SockaddrInet6:
		return a.Port != 0
	}
	return false
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

func (s *inetSocket) addAttributes(data []byte) error {
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	for d.Next() {
		switch d.Type() {
		case inetDiagCongestion:
			s.congestion = d.String()
		case inetDiagTOS:
			s.tos = d.Uint8()
		case inetDiagShutdown:
			s.shutdown = d.Uint8()
		case inetDiagLayer:
			s.layered = true
		case inetDiagOptions:
			if b := d.Bytes(); len(b) >= 2 {
				s.options = uint16(b[0]) | uint16(b[1])<<8
			}
		}
	}
	return d.Err()
}
