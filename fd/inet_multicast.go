package fd

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A MulticastGroup is a multicast group that a socket has joined on a network interface.
type MulticastGroup struct {
	Address   netip.Addr   `json:"address"`
	Interface string       `json:"interface"`
	Only      bool         `json:"only,omitempty"`    // true: only datagrams from Sources; false: from all but Sources
	Sources   []netip.Addr `json:"sources,omitempty"` // source filter (MCAST_MSFILTER)
}

// Numbers of linux/in.h, and the offsets of struct group_filter.
const (
	mcastJoinGroup = 42
	mcastMsfilter  = 48

	filterGroup, filterMode, filterCount, filterSources = 8, 136, 140, 144

	sourcesMost = 1024
)

func (g *MulticastGroup) check() error {
	if !g.Address.IsMulticast() || len(g.Sources) > sourcesMost || len(g.Interface) >= unix.IFNAMSIZ {
		return fmt.Errorf("not a multicast group: %s on %.40q, %d sources", g.Address, g.Interface, len(g.Sources))
	}
	return nil
}

// multicastGroups finds the groups of a socket. The kernel does not list them. But it lists the groups of each network interface,
// and tells the source filter of a group only if the socket has joined it.
func multicastGroups(socket, family int) (all []MulticastGroup, err error) {
	groups, err := joinedGroups(unix.AF_INET)
	if family == unix.AF_INET6 && err == nil { // an IPv6 socket can join IPv4 groups, too
		var more []joinedGroup
		more, err = joinedGroups(unix.AF_INET6)
		groups = append(groups, more...)
	}
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		text := groupFilter(g.index, g.address, sourcesMost)
		n, err := getBytes(socket, multicastLevel(g.address), mcastMsfilter, text)
		switch {
		case err == unix.EADDRNOTAVAIL, err == unix.EINVAL, err == unix.ENOPROTOOPT, err == unix.EOPNOTSUPP:
			continue
		case err != nil || n < filterSources:
			return nil, fmt.Errorf("MCAST_MSFILTER: %w", err)
		}
		joined := MulticastGroup{Address: g.address, Interface: interfaceName(uint32(g.index))}
		joined.Only = binary.NativeEndian.Uint32(text[filterMode:]) == unix.MCAST_INCLUDE
		count := int(binary.NativeEndian.Uint32(text[filterCount:]))
		if count > sourcesMost {
			return nil, fmt.Errorf("multicast group %s has %d sources in its filter, more than %d", g.address, count, sourcesMost)
		}
		for i := range count {
			var a sockaddr
			copy(a.bytes[:], text[filterSources+128*i:])
			joined.Sources = append(joined.Sources, a.inet().Addr())
		}
		all = append(all, joined)
	}
	return all, nil
}

func (g *MulticastGroup) join(socket int) error {
	index, err := interfaceIndex(g.Interface)
	if err != nil {
		return err
	}
	request := groupFilter(index, g.Address, 0)[:filterMode] // begins like struct group_req
	level := multicastLevel(g.Address)
	if err := setBytes(socket, level, mcastJoinGroup, request); err != nil || !g.Only && len(g.Sources) == 0 {
		return err
	}
	filter := groupFilter(index, g.Address, len(g.Sources))
	binary.NativeEndian.PutUint32(filter[filterMode:], unix.MCAST_EXCLUDE)
	if g.Only {
		binary.NativeEndian.PutUint32(filter[filterMode:], unix.MCAST_INCLUDE)
	}
	for i, source := range g.Sources {
		a, err := inetSockaddr(familyOf(source), netip.AddrPortFrom(source, 0))
		if err != nil {
			return err
		}
		copy(filter[filterSources+128*i:], a.bytes[:])
	}
	return setBytes(socket, level, mcastMsfilter, filter)
}

// groupFilter is a struct group_filter with room for some sources.
func groupFilter(index int, group netip.Addr, sources int) []byte {
	text := make([]byte, filterSources+128*sources)
	binary.NativeEndian.PutUint32(text, uint32(index))
	a, _ := inetSockaddr(familyOf(group), netip.AddrPortFrom(group, 0))
	copy(text[filterGroup:filterMode], a.bytes[:])
	binary.NativeEndian.PutUint32(text[filterCount:], uint32(sources))
	return text
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func multicastLevel(group netip.Addr) int {
	if group.Is4() {
		return unix.SOL_IP
	}
	return unix.SOL_IPV6
}

// A joinedGroup is a group that some socket, or the kernel itself, has joined.
type joinedGroup struct {
	index   int
	address netip.Addr
}

// joinedGroups reads /proc/net/igmp or /proc/net/igmp6.
func joinedGroups(family int) (all []joinedGroup, err error) {
	if family == unix.AF_INET6 {
		return parseGroups("/proc/thread-self/net/igmp6", func(fields []string, _ int) (g joinedGroup, ok bool) {
			if len(fields) < 3 {
				return g, false
			}
			index, err := strconv.Atoi(fields[0])
			address, err2 := hex.DecodeString(fields[2])
			if err != nil || err2 != nil || len(address) != 16 {
				return g, false
			}
			return joinedGroup{index, netip.AddrFrom16([16]byte(address))}, true
		})
	}
	return parseGroups("/proc/thread-self/net/igmp", func(fields []string, index int) (g joinedGroup, ok bool) {
		if len(fields) < 1 || len(fields[0]) != 8 {
			return g, false
		}
		address, err := hex.DecodeString(fields[0])
		if err != nil {
			return g, false
		}
		slices.Reverse(address) // the file has the address in the byte order of the machine
		return joinedGroup{index, netip.AddrFrom4([4]byte(address))}, true
	})
}

// parseGroups calls parse with the fields of each line, and with the index of the interface. In igmp, a line that begins with a number
// names an interface. The lines of the interface's groups follow, and begin with a tab.
func parseGroups(path string, parse func(fields []string, index int) (joinedGroup, bool)) (all []joinedGroup, err error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil // a kernel without multicast
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	index := 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 0 && !strings.HasPrefix(lines.Text(), "\t") {
			if n, err := strconv.Atoi(fields[0]); err == nil {
				index = n
			}
		}
		if g, ok := parse(fields, index); ok {
			all = append(all, g)
		}
	}
	return all, lines.Err()
}

func getBytes(socket, level, number int, value []byte) (int, error) {
	length := uint32(len(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(socket), uintptr(level), uintptr(number),
		uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(length), nil
}

func setBytes(socket, level, number int, value []byte) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(socket), uintptr(level), uintptr(number),
		uintptr(unsafe.Pointer(&value[0])), uintptr(len(value)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
