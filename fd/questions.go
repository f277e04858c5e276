package fd

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// questions are about a description. A handle that shares the description answers at once. Otherwise the initiator of
// the frozen member answers later, and its answer cannot be trusted.
type questions struct{ *resident.Questions }

func (q *questions) fcntl(o *open, command int, argument uint64, got func(int64)) {
	if o.handle.asks() {
		result, err := unix.FcntlInt(uintptr(o.handle.fd), command, int(argument))
		got(resultOf(result, err))
		return
	}
	q.Value(unix.SYS_FCNTL, [6]uint64{uint64(o.fd), uint64(command), argument}, got)
}

// ioctl asks for ioctl(fd, request, buffer) with a buffer of size bytes.
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

// resultOf is a result in the form that the initiator gives it: -errno on failure.
func resultOf(result int, err error) int64 {
	if errno, failed := err.(unix.Errno); failed {
		return -int64(errno)
	}
	return int64(result)
}

// put sends the questions to the initiator. If there is none, nobody answers.
func (q *questions) put(m *Member) error {
	if m.Calls == nil {
		*q.Questions = resident.Questions{}
		return nil
	}
	return q.Put(m.Calls)
}
