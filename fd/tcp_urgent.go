package fd

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A tcpMark is where the urgent data of a stream is: the byte that was sent with MSG_OOB. The kernel remembers only the newest one.
type tcpMark struct {
	Place int  `json:"place"`          // of the byte in the content, from 0
	Read  bool `json:"read,omitempty"` // the program has read the byte with MSG_OOB, and not yet the stream up to it
}

// inLine sets SO_OOBINLINE. Then SIOCINQ counts the bytes behind the mark, too. Preconditions: the option is not set; back does that again.
func inLine(socket int) (back func(), err error) {
	set := func(value int) error { return unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_OOBINLINE, value) }
	return func() { _ = set(0) }, os.NewSyscallError("SO_OOBINLINE", set(1))
}

// peekStream reads the queue of a socket that has SO_OOBINLINE, and leaves the bytes there. A read ends at the mark, unless it begins
// there.
func peekStream(socket int, content []byte) (mark *tcpMark, err error) {
	if at, err := unix.IoctlGetInt(socket, unix.SIOCATMARK); err != nil {
		return nil, os.NewSyscallError("SIOCATMARK", err)
	} else if at != 0 {
		mark = new(tcpMark)
	}
	n, err := peekBytes(socket, content)
	if err != nil {
		return nil, os.NewSyscallError("recv", err)
	}
	if n == len(content) {
		return mark, nil
	}
	if mark != nil || n == 0 {
		return nil, fmt.Errorf("%d bytes of %d", n, len(content))
	}
	back, err := peekFrom(socket, n)
	if err != nil {
		return nil, fmt.Errorf("it has urgent data (MSG_OOB), and crak cannot read what is behind it before Linux 6.9: %w", err)
	}
	defer back()
	rest, _, err := unix.Recvfrom(socket, content[n:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err == nil && rest != len(content)-n {
		err = fmt.Errorf("%d bytes of %d", n+rest, len(content))
	}
	return &tcpMark{Place: n}, err
}

// isUrgentRead tells whether the program has read the urgent byte. Preconditions: the socket does not have SO_OOBINLINE.
func isUrgentRead(socket int) (bool, error) {
	var b [1]byte
	switch _, _, err := unix.Recvfrom(socket, b[:], unix.MSG_OOB|unix.MSG_PEEK|unix.MSG_DONTWAIT); err {
	case nil:
		return false, nil
	case unix.EINVAL:
		return true, nil
	case unix.EAGAIN:
		return false, passing("it has urgent data (MSG_OOB) that has not arrived yet")
	default:
		return false, os.NewSyscallError("recv", err)
	}
}

func (m *tcpMark) check(o image.Object) error {
	if m != nil && (m.Place < 0 || uint64(m.Place) >= o.Size) {
		return fmt.Errorf("urgent data at %d of %d bytes", m.Place, o.Size)
	}
	return nil
}

// next is the next part of the content that is to be sent: up to the mark, the byte at the mark, or what is behind it. done bytes have been
// sent before.
func (m *tcpMark) next(content []byte, done int) (part []byte, flags int) {
	switch {
	case m == nil || done > m.Place:
		return content, 0
	case done == m.Place:
		return content[:1], unix.MSG_OOB
	}
	return content[:m.Place-done], 0
}

// readAgain reads the urgent byte with MSG_OOB, if the program had done that. The stream stays in the queue.
func (m *tcpMark) readAgain(socket int) error {
	if m == nil || !m.Read {
		return nil
	}
	var b [1]byte
	for end := time.Now().Add(arriveMost); ; time.Sleep(time.Millisecond) { // EINVAL until the segment has arrived
		_, _, err := unix.Recvfrom(socket, b[:], unix.MSG_OOB|unix.MSG_DONTWAIT)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINVAL) || time.Now().After(end):
			return fmt.Errorf("urgent data: %w", err)
		}
	}
}

// refuseUrgent refuses urgent data of a connection to the outside. A restart cannot make the mark there.
func refuseUrgent(socket int) error {
	const why = passing("it has urgent data (MSG_OOB) that the program has not read yet")
	before, err := unix.IoctlGetInt(socket, unix.TIOCINQ)
	if err != nil {
		return os.NewSyscallError("SIOCINQ", err)
	}
	var b [1]byte
	if _, _, err := unix.Recvfrom(socket, b[:], unix.MSG_OOB|unix.MSG_PEEK|unix.MSG_DONTWAIT); err == nil || err == unix.EAGAIN {
		return why
	}
	if on, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_OOBINLINE); err != nil {
		return os.NewSyscallError("SO_OOBINLINE", err)
	} else if on == 0 {
		back, err := inLine(socket)
		if err != nil {
			return err
		}
		defer back()
	}
	all, err := unix.IoctlGetInt(socket, unix.TIOCINQ)
	if err != nil {
		return os.NewSyscallError("SIOCINQ", err)
	}
	if at, err := unix.IoctlGetInt(socket, unix.SIOCATMARK); all > before || err != nil || at != 0 {
		return errors.Join(err, why)
	}
	return nil
}
