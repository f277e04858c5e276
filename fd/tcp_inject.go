package fd

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/firewall"
)

// Bits of the TCP header (RFC 9293).
const flagFIN, flagACK, flagURG = 1, 16, 32

// A segment is a TCP segment that a peer has sent.
type segment struct {
	from, to    netip.AddrPort
	sequence    uint32
	acknowledge uint32
	flags       byte
	window      uint16
	urgent      uint16
	data        []byte
}

// inject gives a segment to the sockets of this machine, as if it came from the network, or sends one to a peer, through a network
// interface if there is a name. No other call ends the receiving direction of a connection in repair mode. The firewall lets the packet
// through because of its mark. It takes CAP_NET_RAW and CAP_NET_ADMIN.
func (s *segment) inject(device string) error {
	zone := s.to.Addr().Zone()
	s.from, s.to = plain(s.from), plain(s.to)
	if s.from.Addr().Is4() != s.to.Addr().Is4() {
		return fmt.Errorf("%s and %s are not of one family", s.from, s.to)
	}
	family, packet := unix.AF_INET6, s.ipv6
	if s.to.Addr().Is4() {
		family, packet = unix.AF_INET, s.ipv4
	}
	raw, err := rawSocket(family)
	if err != nil {
		return os.NewSyscallError("raw socket", err)
	}
	defer unix.Close(raw)
	if err := unix.SetsockoptInt(raw, unix.SOL_SOCKET, unix.SO_MARK, firewall.Mark); err != nil {
		return os.NewSyscallError("SO_MARK", err)
	}
	if device != "" {
		if err := unix.BindToDevice(raw, device); err != nil {
			return os.NewSyscallError("SO_BINDTODEVICE", err)
		}
	}
	to, err := inetSockaddr(family, netip.AddrPortFrom(s.to.Addr().WithZone(zone), 0))
	if err == nil {
		err = to.connect(raw)
	}
	if err == nil {
		_, err = unix.Write(raw, packet())
	}
	return os.NewSyscallError("raw socket", err)
}

func rawSocket(family int) (int, error) {
	return unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
}

// ipv4 is the packet with the header of IPv4. The kernel fills in the header's checksum (raw(7)).
func (s *segment) ipv4() []byte {
	const header = 20
	from, to := s.from.Addr().As4(), s.to.Addr().As4()
	b := make([]byte, header)
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_TCP
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	b = append(b, s.tcp(from[:], to[:])...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func (s *segment) ipv6() []byte {
	const header = 40
	from, to := s.from.Addr().As16(), s.to.Addr().As16()
	segment := s.tcp(from[:], to[:])
	b := make([]byte, header)
	b[0], b[6], b[7] = 0x60, unix.IPPROTO_TCP, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(segment)))
	copy(b[8:], from[:])
	copy(b[24:], to[:])
	return append(b, segment...)
}

// tcp is the segment with its header.
func (s *segment) tcp(from, to []byte) []byte {
	const header = 20
	b := make([]byte, header)
	binary.BigEndian.PutUint16(b, s.from.Port())
	binary.BigEndian.PutUint16(b[2:], s.to.Port())
	binary.BigEndian.PutUint32(b[4:], s.sequence)
	binary.BigEndian.PutUint32(b[8:], s.acknowledge)
	b[12], b[13] = header/4<<4, s.flags
	binary.BigEndian.PutUint16(b[14:], s.window)
	binary.BigEndian.PutUint16(b[18:], s.urgent)
	b = append(b, s.data...)
	sum := addWords(addWords(addWords(0, from), to), b) + unix.IPPROTO_TCP + uint32(len(b))
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[16:], ^uint16(sum))
	return b
}

// addWords adds 16-bit words to the sum of RFC 1071.
func addWords(sum uint32, b []byte) uint32 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	return sum
}
