package fd

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An addressed has an address to which a socket can connect.
type addressed interface {
	address() (unix.RawSockaddrUnix, uintptr)
}

// connectNow connects a socket. It fails with EAGAIN where connect(2) would wait for a place in the queue of a listening socket.
func connectNow(socket int, to addressed) error {
	if err := unix.SetNonblock(socket, true); err != nil {
		return err
	}
	return errors.Join(rawConnect(socket, to), unix.SetNonblock(socket, false))
}

func rawConnect(socket int, to addressed) error {
	a, length := to.address()
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(socket), uintptr(unsafe.Pointer(&a)), length)
	if errno != 0 {
		return errno
	}
	return nil
}

func rawBind(socket int, n *UnixName) error {
	a, length := n.address()
	_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(socket), uintptr(unsafe.Pointer(&a)), length)
	if errno != 0 {
		return fmt.Errorf("bind %s: %w", n, errno)
	}
	return nil
}
