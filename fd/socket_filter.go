package fd

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A SocketFilter is a filter of classic BPF: its instructions, each with code, jt, jf and k (SO_ATTACH_FILTER, socket(7)).
type SocketFilter [][4]uint32

// filterMost is BPF_MAXINSNS.
const filterMost = 4096

var errExtendedFilter = errors.New("it has an eBPF filter")

// filterOf reads the filter of a socket. The result is empty if there is none.
func filterOf(socket int) (SocketFilter, error) {
	var length uint32
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(socket), unix.SOL_SOCKET, unix.SO_GET_FILTER, 0, uintptr(unsafe.Pointer(&length)), 0)
	switch {
	case errno == unix.EACCES:
		return nil, errExtendedFilter
	case errno != 0:
		return nil, fmt.Errorf("SO_GET_FILTER: %w", errno)
	case length == 0:
		return nil, nil
	}
	code := make([]unix.SockFilter, length)
	_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(socket), unix.SOL_SOCKET, unix.SO_GET_FILTER,
		uintptr(unsafe.Pointer(&code[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 || int(length) > len(code) {
		return nil, fmt.Errorf("SO_GET_FILTER: %w", errno)
	}
	var filter SocketFilter
	for _, c := range code[:length] {
		filter = append(filter, [4]uint32{uint32(c.Code), uint32(c.Jt), uint32(c.Jf), c.K})
	}
	return filter, nil
}

func (f SocketFilter) check() error {
	if len(f) > filterMost {
		return fmt.Errorf("a filter of %d instructions", len(f))
	}
	for i, c := range f {
		if c[0] > 0xffff || c[1] > 0xff || c[2] > 0xff {
			return fmt.Errorf("instruction %d of a filter: %v", i, c)
		}
	}
	return nil
}

// attach replaces the filter of a socket. The kernel checks the instructions.
func (f SocketFilter) attach(socket int) error {
	if len(f) == 0 {
		err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		if err == unix.ENOENT {
			err = nil
		}
		return err
	}
	code := make([]unix.SockFilter, len(f))
	for i, c := range f {
		code[i] = unix.SockFilter{Code: uint16(c[0]), Jt: uint8(c[1]), Jf: uint8(c[2]), K: c[3]}
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	err := unix.SetsockoptSockFprog(socket, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	runtime.KeepAlive(code)
	return err
}

// isLocked tells whether nobody can change the filter of a socket any more (SO_LOCK_FILTER).
func isLocked(socket int) (bool, error) {
	n, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_LOCK_FILTER)
	return n != 0, os.NewSyscallError("SO_LOCK_FILTER", err)
}

// attachLast gives a socket its filter, if it has one, and locks it.
func (f SocketFilter) attachLast(socket int, lock bool) error {
	if len(f) > 0 {
		if err := f.attach(socket); err != nil {
			return os.NewSyscallError("SO_ATTACH_FILTER", err)
		}
	}
	if !lock {
		return nil
	}
	return os.NewSyscallError("SO_LOCK_FILTER", unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_LOCK_FILTER, 1))
}

// rejectAll is a filter that drops every packet.
var rejectAll = SocketFilter{{unix.BPF_RET | unix.BPF_K, 0, 0, 0}}
