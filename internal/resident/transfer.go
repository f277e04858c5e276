package resident

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/busypoll"
	"crak.dev/crak/internal/proc"
)

// some waits for at least one byte and reads what has come.
func (c *Conn) some(b []byte) (int, error) {
	for range busypoll.Limit() {
		if n, err := c.receive(b); err != unix.EAGAIN {
			return n, err
		}
		busypoll.Yield()
	}
	raw, err := c.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	for {
		until := time.Now().Add(intervalStops)
		if c.until.Before(until) {
			until = c.until
		}
		if err := c.file.SetReadDeadline(until); err != nil {
			return 0, err
		}
		n, failed := 0, error(nil)
		err = raw.Read(func(uintptr) bool {
			n, failed = c.receive(b)
			return failed != unix.EAGAIN
		})
		if !errors.Is(err, os.ErrDeadlineExceeded) || until == c.until {
			return n, cmp.Or(err, failed)
		}
		if isStopped(c.Pid) {
			return 0, StoppedError(c.Pid)
		}
	}
}

// intervalStops is between two looks whether a process that does not answer is stopped. The kernel has no event for it.
const intervalStops = 50 * time.Millisecond

// A StoppedError means that the process, of this PID, was stopped inside the handler, which cannot block SIGSTOP. So it does not answer.
type StoppedError int

func (e StoppedError) Error() string {
	return fmt.Sprintf("pid %d: stopped during the checkpoint", int(e))
}

// isStopped tells whether a process is stopped, and nobody traces it.
func isStopped(pid int) bool {
	tids, _ := proc.Tasks(pid)
	for _, tid := range tids {
		if stat, err := proc.Read(pid, fmt.Sprintf("task/%d/stat", tid), proc.Stat); err == nil && stat.State == 'T' {
			return true
		}
	}
	return false
}

// aheadMost is enough for all answers of most members: to the early questions and to those of Read.
const aheadMost = 8192

// buffers are for bytes that have come and are not read yet. Most connections need none most of the time.
var buffers = sync.Pool{New: func() any { return new([aheadMost]byte) }}

// next is some for the bytes of a message. A resident sends several short messages at once, such as its HELLO and the threads that
// it has frozen. One system call reads all of them.
func (c *Conn) next(b []byte) (int, error) {
	if len(c.ahead) == 0 {
		if len(b) >= aheadMost {
			return c.some(b)
		}
		buffer := buffers.Get().(*[aheadMost]byte)
		n, err := c.some(buffer[:])
		if err != nil || n <= 0 {
			buffers.Put(buffer)
			return n, err
		}
		c.buffer, c.ahead = buffer, buffer[:n]
	}
	n := copy(b, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		buffers.Put(c.buffer)
		c.buffer = nil
	}
	return n, nil
}

// receive reads what has come. The error is EAGAIN if nothing has.
func (c *Conn) receive(b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// read reads len(b) bytes. The limits are for the whole message, and for all messages, so a resident that sends single bytes cannot
// extend the wait.
func (c *Conn) read(b []byte) error {
	for len(b) > 0 {
		begun := time.Now()
		if begun.After(c.until) || c.waited > timeoutAll {
			return fmt.Errorf("pid %d: %w", c.Pid, ErrNoAnswer)
		}
		n, err := c.next(b)
		c.waited += time.Since(begun)
		switch {
		case err == unix.EINTR:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("pid %d: %w", c.Pid, ErrNoAnswer)
		case errors.As(err, new(StoppedError)):
			return err
		case err == unix.ECONNRESET:
			return c.ended()
		case err != nil:
			return fmt.Errorf("pid %d: read from its resident: %w", c.Pid, err)
		case n == 0:
			return c.ended()
		}
		b = b[max(n, 0):]
	}
	return nil
}

// ended returns the reason why the resident has closed the socket. A process that ends may take long: for the memory of others in its PID
// namespace, or because it gets no processor. But all its threads are ending before the kernel closes the socket.
func (c *Conn) ended() error {
	if c.frozen && !isEnding(c.Pid) {
		return fmt.Errorf("pid %d: %w", c.Pid, ErrFreezeEnded)
	}
	return fmt.Errorf("pid %d: its resident has closed the connection: the process has ended or has executed another program, or crak itself was held up for longer than CRAK_FREEZE_LIMIT: %w", c.Pid, io.ErrUnexpectedEOF)
}

// write sends all parts, if possible in one call, because each call wakes the initiator.
func (c *Conn) write(parts ...[]byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.writeAll(parts)
}

func (c *Conn) writeAll(parts [][]byte) error {
	for len(parts) > 0 {
		n, err := c.send(parts)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EPIPE || err == unix.ECONNRESET {
			return c.ended()
		}
		if err != nil {
			return fmt.Errorf("pid %d: write to its resident: %w", c.Pid, err)
		}
		for len(parts) > 0 && n >= len(parts[0]) {
			n -= len(parts[0])
			parts = parts[1:]
		}
		if len(parts) > 0 {
			parts[0] = parts[0][n:]
		}
	}
	return nil
}

// send sends as much as possible. It waits until the socket has room.
func (c *Conn) send(parts [][]byte) (int, error) {
	n, err := unix.SendmsgBuffers(c.fd, parts, nil, nil, unix.MSG_NOSIGNAL)
	if err != unix.EAGAIN {
		return n, err
	}
	if err := c.file.SetWriteDeadline(time.Now().Add(timeoutWire)); err != nil {
		return 0, err
	}
	raw, err := c.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Write(func(uintptr) bool {
		n, failed = unix.SendmsgBuffers(c.fd, parts, nil, nil, unix.MSG_NOSIGNAL)
		return failed != unix.EAGAIN
	})
	return n, cmp.Or(err, failed)
}

func bytesOf[T any](p *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
}

func bytesOfSlice[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(zero)))
}
