package fd

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sockaddr is a socket address as system calls have it. It has room for every family.
type sockaddr struct {
	bytes  [unix.SizeofSockaddrAny]byte
	length uint32
}

// inetSockaddr makes the struct sockaddr_in or sockaddr_in6 of an address (ip(7), ipv6(7)). A zone is the name of an interface.
func inetSockaddr(family int, at netip.AddrPort) (a sockaddr, err error) {
	binary.NativeEndian.PutUint16(a.bytes[:], uint16(family))
	binary.BigEndian.PutUint16(a.bytes[2:], at.Port())
	ip := at.Addr()
	switch {
	case family == unix.AF_INET && ip.Is4():
		*(*[4]byte)(a.bytes[4:]) = ip.As4()
		a.length = unix.SizeofSockaddrInet4
		return a, nil
	case family == unix.AF_INET6 && ip.Is6():
		*(*[16]byte)(a.bytes[8:]) = ip.As16()
		a.length = unix.SizeofSockaddrInet6
		if ip.Zone() == "" {
			return a, nil
		}
		index, err := interfaceIndex(ip.Zone())
		binary.NativeEndian.PutUint32(a.bytes[24:], uint32(index))
		return a, err
	}
	return a, fmt.Errorf("%s is not an address of family %d", at, family)
}

// inet is the address in a struct sockaddr_in or sockaddr_in6. The result is not valid if the sockaddr is of another family.
func (a *sockaddr) inet() netip.AddrPort {
	port := binary.BigEndian.Uint16(a.bytes[2:])
	switch binary.NativeEndian.Uint16(a.bytes[:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a.bytes[4:8])), port)
	case unix.AF_INET6:
		ip := netip.AddrFrom16([16]byte(a.bytes[8:24]))
		if scope := binary.NativeEndian.Uint32(a.bytes[24:]); scope != 0 && !ip.Is4In6() {
			ip = ip.WithZone(interfaceName(scope))
		}
		return netip.AddrPortFrom(ip, port)
	}
	return netip.AddrPort{}
}

func (a *sockaddr) pointers() (uintptr, uintptr) {
	return uintptr(unsafe.Pointer(&a.bytes)), uintptr(a.length)
}

// bind is bind(2).
func (a *sockaddr) bind(socket int) error { return a.call(unix.SYS_BIND, socket) }

// connect is connect(2).
func (a *sockaddr) connect(socket int) error { return a.call(unix.SYS_CONNECT, socket) }

func (a *sockaddr) call(number uintptr, socket int) error {
	address, length := a.pointers()
	if _, _, errno := unix.Syscall(number, uintptr(socket), address, length); errno != 0 {
		return errno
	}
	return nil
}

// ownAddress is getsockname(2).
func ownAddress(socket int) (sockaddr, error) { return addressOf(unix.SYS_GETSOCKNAME, socket) }

// peerAddress is getpeername(2).
func peerAddress(socket int) (sockaddr, error) { return addressOf(unix.SYS_GETPEERNAME, socket) }

func addressOf(number uintptr, socket int) (a sockaddr, err error) {
	a.length = uint32(len(a.bytes))
	_, _, errno := unix.Syscall(number, uintptr(socket), uintptr(unsafe.Pointer(&a.bytes)), uintptr(unsafe.Pointer(&a.length)))
	if errno != 0 {
		return a, errno
	}
	return a, nil
}

// interfaceName is the name of a network interface, or its index if the interface does not exist any more.
func interfaceName(index uint32) string {
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		return i.Name
	}
	return strconv.Itoa(int(index))
}

func interfaceIndex(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("network interface %q: %w", name, err)
	}
	return i.Index, nil
}
