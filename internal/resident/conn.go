package resident

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/busypoll"
	"crak.dev/crak/internal/proc"
)

// A Conn is the connection to one resident.
type Conn struct {
	Pid      int // in the writer's PID namespace
	Hello    abi.HelloBody
	Settings map[string]string // CRAK_DIR and its kin as the program was started with, CRAK_START_DIR

	fd      int
	frozen  bool       // and not let go by us
	writing sync.Mutex // Progress comes between

	patience time.Duration // for one message
	until    time.Time     // when the present one has to be there as a whole
	waited   time.Duration // for all messages so far
}

// ErrLetGo means that a resident has ended a freeze by itself.
var ErrLetGo = errors.New("the program was let go: this checkpoint made no progress for as long as CRAK_FREEZE_LIMIT says")

// A FreezeError is why a resident gave up a freeze: every thread of the program runs on.
type FreezeError struct {
	Pid int
	abi.Failure
}

func (e *FreezeError) Error() string {
	switch e.Code {
	case abi.FailedPark:
		return fmt.Sprintf("pid %d thread %d: does not stop for a checkpoint", e.Pid, e.Tid)
	case abi.FailedTasks:
		return fmt.Sprintf("pid %d: its threads cannot be listed: /proc/self/task: %v", e.Pid, unix.Errno(e.Detail))
	case abi.FailedSignal:
		return fmt.Sprintf("pid %d thread %d: signal: %v", e.Pid, e.Tid, unix.Errno(e.Detail))
	}
	return fmt.Sprintf("pid %d: freeze failed: code %d at line %d", e.Pid, e.Code, e.Line)
}

// Close lets the program go on, if it was frozen, and lets its twin go, if there is one.
func (c *Conn) Close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}

func (c *Conn) greet() error {
	message, err := c.message()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("pid %d: its resident hangs up: orders are for those who may trace the program", c.Pid)
	}
	if err != nil {
		return err
	}
	if message.Type != abi.Hello || message.Length < abi.HelloSize || message.Length > 1<<16 {
		return fmt.Errorf("pid %d: greeting of type %d, %d bytes", c.Pid, message.Type, message.Length)
	}
	body := make([]byte, message.Length)
	if err := c.read(body); err != nil {
		return err
	}
	c.Hello = *(*abi.HelloBody)(unsafe.Pointer(&body[0]))
	c.Settings = make(map[string]string)
	for _, entry := range strings.Split(string(body[abi.HelloSize:]), "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok {
			c.Settings[name] = value
		}
	}
	return nil
}

// patienceLeft: a child that the program forks in this very moment may have the socket as well.
const patienceLeft = time.Second

// Left waits until the resident has hung up, as it does after a query: then the descriptor is gone
// from the program.
func (c *Conn) Left() {
	if c.bound(patienceLeft) != nil {
		return
	}
	c.until = time.Now().Add(patienceLeft)
	var b [64]byte
	for c.read(b[:]) == nil { // a resident that talks on
	}
}

// Frozen waits until every thread of the program is parked. A *FreezeError says why not.
func (c *Conn) Frozen(patience time.Duration) ([]abi.Thread, error) {
	if err := c.bound(patience); err != nil {
		return nil, err
	}
	message, err := c.message()
	if errors.Is(err, unix.EAGAIN) {
		return nil, fmt.Errorf("pid %d: %w", c.Pid, ErrSilent)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case message.Type == abi.Failed && message.Length == abi.FailureSize:
		e := &FreezeError{Pid: c.Pid}
		if err := c.read(bytesOf(&e.Failure)); err != nil {
			return nil, err
		}
		return nil, e
	case message.Type == abi.Frozen && message.Count > 0 && message.Length == uint64(message.Count)*abi.ThreadSize:
		if err := c.believe(message.Count); err != nil {
			return nil, err
		}
		threads := make([]abi.Thread, message.Count)
		c.frozen = true
		return threads, c.read(bytesOfSlice(threads))
	}
	return nil, fmt.Errorf("pid %d: answer of type %d, %d bytes, to a freeze", c.Pid, message.Type, message.Length)
}

// believe compares a number of threads with what /proc says. A small one costs nothing, whatever is true.
func (c *Conn) believe(threads uint32) error {
	const small = 256
	if threads <= small {
		return nil
	}
	status, err := proc.Read(c.Pid, "status", proc.Status)
	if err != nil {
		return fmt.Errorf("pid %d: %w", c.Pid, err)
	}
	if uint64(threads) > uint64(status.Threads) {
		return fmt.Errorf("pid %d: its resident says that %d threads are parked; it has %d", c.Pid, threads, status.Threads)
	}
	return nil
}

// bound is for how long to wait for a message at most.
func (c *Conn) bound(patience time.Duration) error {
	c.patience = patience
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	return unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
}

// Calls has the initiator make system calls inside the frozen program, in order. Arguments marked
// in Relative are offsets into data, which comes back as the calls left it. A result is -errno
// where the call failed. At most abi.CallsMax calls and abi.DataMax bytes.
func (c *Conn) Calls(calls []abi.Call, data []byte) ([]int64, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	if len(calls) > abi.CallsMax || len(data) > abi.DataMax {
		return nil, fmt.Errorf("pid %d: %d calls with %d bytes of data are too many", c.Pid, len(calls), len(data))
	}
	order := abi.Message{Type: abi.Calls, Count: uint32(len(calls)), Length: uint64(len(calls)*abi.CallSize + len(data))}
	if err := c.write(bytesOf(&order), bytesOfSlice(calls), data); err != nil {
		return nil, err
	}
	results := make([]int64, len(calls))
	if err := c.results(uint64(len(results)*8+len(data)), uint32(len(results))); err != nil {
		return nil, err
	}
	if err := c.read(bytesOfSlice(results)); err != nil {
		return nil, err
	}
	return results, c.read(data)
}

// Snapshot has the frozen program fork its twin and go on. It returns the twin's PID, as the program's own PID
// namespace knows it; the twin lives until Close. On an error the program is still frozen.
func (c *Conn) Snapshot() (int, error) {
	order := abi.Message{Type: abi.Snapshot}
	if err := c.write(bytesOf(&order)); err != nil {
		return 0, err
	}
	var result [1]int64
	if err := c.results(8, 1); err != nil {
		return 0, err
	}
	if err := c.read(bytesOfSlice(result[:])); err != nil {
		return 0, err
	}
	if result[0] >= 0 {
		c.frozen = false
	}
	if result[0] < 0 {
		return 0, fmt.Errorf("pid %d: fork: %w", c.Pid, unix.Errno(-result[0]))
	}
	return int(result[0]), nil
}

// Resume lets a program go on that has no twin.
func (c *Conn) Resume() error {
	c.frozen = false
	order := abi.Message{Type: abi.Resume}
	return c.write(bytesOf(&order))
}

// Progress keeps a program frozen: without a message the resident lets it go after Hello.Limit. It may be called while
// another goroutine uses the Conn.
func (c *Conn) Progress() {
	order := abi.Message{Type: abi.Progress}
	c.write(bytesOf(&order)) // the next exchange has the error
}

// Confirm asks whether the program is still frozen. If it was let go meanwhile the error is ErrLetGo.
func (c *Conn) Confirm() error {
	order := abi.Message{Type: abi.Calls}
	if err := c.write(bytesOf(&order)); err != nil {
		return err
	}
	return c.results(0, 0)
}

// Kill ends the frozen program. It has the program kill itself: if it was let go meanwhile, nobody is killed, and the error
// is ErrLetGo.
func (c *Conn) Kill() error {
	kill := abi.Call{Number: unix.SYS_KILL, Args: [6]uint64{uint64(c.Hello.Pid), uint64(unix.SIGKILL)}}
	_, err := c.Calls([]abi.Call{kill}, nil)
	switch {
	case errors.Is(err, ErrLetGo):
		return err
	case err == nil: // it is process 1 of its PID namespace, and can only be killed from outside
		return unix.Kill(c.Pid, unix.SIGKILL)
	}
	return nil
}

func (c *Conn) results(length uint64, count uint32) error {
	message, err := c.message()
	if err != nil {
		return err
	}
	if message.Type != abi.Results || message.Count != count || message.Length != length {
		return fmt.Errorf("pid %d: answer of type %d, %d bytes: %d expected", c.Pid, message.Type, message.Length, length)
	}
	return nil
}

func (c *Conn) message() (m abi.Message, err error) {
	c.until = time.Now().Add(c.patience)
	err = c.read(bytesOf(&m))
	return m, err
}

// some reads what there is, at least a byte.
func (c *Conn) some(b []byte) (int, error) {
	for range busypoll.SpinLimit {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
			uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EAGAIN:
			busypoll.Yield()
		default:
			return -1, errno
		}
	}
	return unix.Read(c.fd, b)
}

// read reads all of b. Whoever sends a byte now and then is bounded as well: by the whole message, and by all of them.
func (c *Conn) read(b []byte) error {
	for len(b) > 0 {
		begun := time.Now()
		if begun.After(c.until) || c.waited > patienceAll {
			return fmt.Errorf("pid %d: %w", c.Pid, ErrSilent)
		}
		n, err := c.some(b)
		c.waited += time.Since(begun)
		switch {
		case err == unix.EINTR:
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

// patienceEnd: a process that dies closes its files a moment before it is dead.
const patienceEnd = time.Second

// ended is why there is nobody at the other end.
func (c *Conn) ended() error {
	process, err := unix.PidfdOpen(c.Pid, 0)
	if err == nil && c.frozen {
		defer unix.Close(process)
		fds := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}
		if n, err := busypoll.Poll(fds, patienceEnd); n == 0 && err == nil {
			return fmt.Errorf("pid %d: %w", c.Pid, ErrLetGo)
		}
	}
	return fmt.Errorf("pid %d: it has ended meanwhile, or executed another program: %w", c.Pid, io.ErrUnexpectedEOF)
}

// write sends all parts, in one go where that is possible: each piece would wake the initiator.
func (c *Conn) write(parts ...[]byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	for len(parts) > 0 {
		n, err := unix.SendmsgBuffers(c.fd, parts, nil, nil, unix.MSG_NOSIGNAL)
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
