package fd

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// questions are system calls that the leader of a frozen member is to make.
type questions struct{ *resident.Questions }

// fcntl asks for fcntl(fd, command, argument).
func (q *questions) fcntl(fd, command int, argument uint64, got func(int64)) {
	q.Value(unix.SYS_FCNTL, [6]uint64{uint64(fd), uint64(command), argument}, got)
}

// ioctl asks for ioctl(fd, request, buffer) with a buffer of that many bytes.
func (q *questions) ioctl(fd int, request uint64, size int, got func(int64, []byte)) {
	call := abi.Call{Number: unix.SYS_IOCTL, Relative: 1 << 2, Args: [6]uint64{uint64(fd), request}}
	q.Ask(call, make([]byte, size), got)
}

// put has the leader make all calls. Without a leader nobody answers.
func (q *questions) put(m *Member) error {
	if m.Calls == nil {
		*q.Questions = resident.Questions{}
		return nil
	}
	return q.Put(m.Calls)
}
