package fd

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// questions are what is asked of a description: by our handle of it, or, where we have none, or of the object alone, by the
// leader of the frozen member. The leader answers later, and may lie.
type questions struct{ *resident.Questions }

// fcntl asks for fcntl(fd, command, argument).
func (q *questions) fcntl(o *open, command int, argument uint64, got func(int64)) {
	if o.handle.asks() {
		result, err := unix.FcntlInt(uintptr(o.handle.fd), command, int(argument))
		got(resultOf(result, err))
		return
	}
	q.Value(unix.SYS_FCNTL, [6]uint64{uint64(o.fd), uint64(command), argument}, got)
}

// ioctl asks for ioctl(fd, request, buffer) with a buffer of that many bytes.
func (q *questions) ioctl(o *open, request uint64, size int, got func(int64, []byte)) {
	buffer := make([]byte, size)
	if o.handle.asks() {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(o.handle.fd), uintptr(request), uintptr(unsafe.Pointer(&buffer[0])))
		got(-int64(errno), buffer)
		return
	}
	call := abi.Call{Number: unix.SYS_IOCTL, Relative: 1 << 2, Args: [6]uint64{uint64(o.fd), request}}
	q.Ask(call, buffer, got)
}

// resultOf is a result as the leader tells it: -errno on failure.
func resultOf(result int, err error) int64 {
	if errno, failed := err.(unix.Errno); failed {
		return -int64(errno)
	}
	return int64(result)
}

// put has the leader make all calls. Without a leader nobody answers.
func (q *questions) put(m *Member) error {
	if m.Calls == nil {
		*q.Questions = resident.Questions{}
		return nil
	}
	return q.Put(m.Calls)
}
