package fd

import "golang.org/x/sys/unix"

// makeRoom makes the receive buffer large enough for this number of bytes. SO_RCVLOWAT can do that up to the limit of tcp_rmem. On most
// machines this is more than an ordinary user may set with SO_RCVBUF. The result is a function that sets the old size again.
func makeRoom(socket, bytes int) (back func()) {
	option := func(number int) int {
		value, _ := unix.GetsockoptInt(socket, unix.SOL_SOCKET, number)
		return value
	}
	set := func(number, value int) { _ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, number, value) }
	low, locks, size := option(unix.SO_RCVLOWAT), option(soBufLock), option(unix.SO_RCVBUF)
	grow := func(bytes int) {
		set(soBufLock, locks&^lockReceive)
		set(unix.SO_RCVLOWAT, bytes)
		set(unix.SO_RCVLOWAT, low)
	}
	grow(bytes + room)
	if option(unix.SO_RCVBUF) < bytes+room {
		_ = socketOptions["rcvbuf"].set(socket, []int32{int32(2 * (bytes + room))})
		_ = unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_WINDOW_CLAMP, bytes+room)
	}
	return func() {
		set(unix.SO_RCVBUF, size/2)
		if option(unix.SO_RCVBUF) < size {
			grow(size)
		}
		set(soBufLock, locks)
	}
}

// room is what makeRoom adds for the kernel's own use.
const room = 64 << 10

// acknowledge has the kernel send an acknowledgment that it delays. The socket keeps its mode (tcp(7), TCP_QUICKACK).
func acknowledge(socket int) {
	if quick, err := unix.GetsockoptInt(socket, unix.SOL_TCP, unix.TCP_QUICKACK); err == nil {
		_ = unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_QUICKACK, 2-quick)
	}
}

// push has the kernel send a segment that is not full. The result is a function that sets the old TCP_NODELAY again.
func push(socket int) (back func()) {
	before, _ := unix.GetsockoptInt(socket, unix.SOL_TCP, unix.TCP_NODELAY)
	_ = unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_NODELAY, 1)
	return func() { _ = unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_NODELAY, before) }
}
