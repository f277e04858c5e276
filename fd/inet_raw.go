package fd

import (
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// portlessPeer is the peer of an ICMP or raw socket that is connected without a port. getpeername(2) does not return such a peer. The
// result is not valid if there is none. Each line of /proc/net/raw has the number of the line, the own address, the peer's address, the
// state, and as tenth field the inode. An address is one hexadecimal number for IPv4, or four for IPv6, in the byte order of the machine.
func (r *InetSocket) portlessPeer(socket int) (peer netip.AddrPort, err error) {
	name := "raw"
	switch {
	case r.Type != unix.SOCK_RAW && isUDP(r.Protocol):
		return peer, nil
	case r.Type != unix.SOCK_RAW:
		name = "icmp"
	}
	if r.Family == unix.AF_INET6 {
		name += "6"
	}
	var st unix.Stat_t
	if err := unix.Fstat(socket, &st); err != nil {
		return peer, os.NewSyscallError("fstat", err)
	}
	text, err := proc.ReadFile("/proc/thread-self/net/" + name)
	if err != nil {
		return peer, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[9] != strconv.FormatUint(st.Ino, 10) {
			continue
		}
		host, _, _ := strings.Cut(fields[2], ":")
		address, err := hex.DecodeString(host)
		if err != nil || len(address)%4 != 0 {
			return peer, err
		}
		for word := range slices.Chunk(address, 4) {
			slices.Reverse(word)
		}
		if ip, ok := netip.AddrFromSlice(address); ok && !ip.IsUnspecified() {
			return netip.AddrPortFrom(ip, 0), nil
		}
	}
	return peer, nil
}
