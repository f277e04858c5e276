package fd

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// questions are about the descriptions of a group. A handle that shares a description answers at once. Otherwise the
// initiator of the member through which the description is seen answers later, and its answer cannot be trusted.
type questions struct {
	members []*Member // in the order in which they are asked
	of      map[*Member]*resident.Questions
}

func (q *questions) to(m *Member) *resident.Questions {
	asked := q.of[m]
	if asked == nil {
		if q.of == nil {
			q.of = make(map[*Member]*resident.Questions)
		}
		asked = new(resident.Questions)
		q.of[m] = asked
		q.members = append(q.members, m)
	}
	return asked
}

func (q *questions) fcntl(o *open, command int, argument uint64, got func(int64)) {
	if o.handle.asks() {
		result, err := unix.FcntlInt(uintptr(o.handle.fd), command, int(argument))
		got(resultOf(result, err))
		return
	}
	q.to(o.member).Value(unix.SYS_FCNTL, [6]uint64{uint64(o.fd), uint64(command), argument}, got)
}

// ioctl asks for ioctl(fd, request, buffer) with a buffer of size bytes.
func (q *questions) ioctl(o *open, request uint64, size int, got func(int64, []byte)) {
	buffer := make([]byte, size)
	if o.handle.asks() {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(o.handle.fd), uintptr(request), uintptr(unsafe.Pointer(&buffer[0])))
		got(-int64(errno), buffer)
		return
	}
	call := abi.Call{Number: unix.SYS_IOCTL, Relative: abi.Data(2), Args: [6]uint64{uint64(o.fd), request}}
	q.to(o.member).Ask(call, buffer, got)
}

// into asks for a system call with the arguments (fd, buffer), and a buffer of size bytes.
func (q *questions) into(o *open, number uint32, size int, got func(int64, []byte)) {
	buffer := make([]byte, size)
	if o.handle.asks() {
		_, _, errno := unix.Syscall(uintptr(number), uintptr(o.handle.fd), uintptr(unsafe.Pointer(&buffer[0])), 0)
		got(-int64(errno), buffer)
		return
	}
	q.to(o.member).Ask(abi.Call{Number: number, Relative: abi.Data(1), Args: [6]uint64{uint64(o.fd)}}, buffer, got)
}

// resultOf is a result in the form that the initiator gives it: -errno on failure.
func resultOf(result int, err error) int64 {
	if errno, failed := err.(unix.Errno); failed {
		return -int64(errno)
	}
	return int64(result)
}

// put sends the questions to the initiators. A member that is not frozen has none, and nobody answers.
func (q *questions) put() error {
	for _, m := range q.members {
		if m.Calls == nil {
			continue
		}
		if err := q.of[m].Put(m.Calls); err != nil {
			return fmt.Errorf("pid %d: descriptors: %w", m.Pid, err)
		}
	}
	return nil
}
