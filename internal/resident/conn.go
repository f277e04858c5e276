package resident

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
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
	Settings map[string]string // CRAK_* of the environment in which the program was started, and CRAK_START_DIR

	fd      int        // of file
	file    *os.File   // the runtime waits for it, so that a wait blocks no thread of the writer
	frozen  bool       // frozen, and the writer has not ended the freeze
	writing sync.Mutex // Progress may write at the same time

	patience time.Duration // longest wait for one message
	until    time.Time     // when the current message must be complete
	waited   time.Duration // for all messages so far
}

// ErrLetGo means that the resident ended a freeze because the freeze limit was over.
var ErrLetGo = errors.New("the program was let go: this checkpoint made no progress during the time that CRAK_FREEZE_LIMIT allows")

// A FreezeError says why a resident gave up a freeze. Every thread of the program runs again.
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
	case abi.FailedMemory:
		return fmt.Sprintf("pid %d: no memory for the stacks on which %d of its threads are to wait", e.Pid, e.Detail)
	}
	return fmt.Sprintf("pid %d: freeze failed: code %d at line %d", e.Pid, e.Code, e.Line)
}

// Close closes the socket. A frozen program goes on, and a twin exits.
func (c *Conn) Close() {
	c.file.Close()
}

func (c *Conn) greet() error {
	message, err := c.message()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("pid %d: its resident refuses orders: only a process that may trace the program may give them", c.Pid)
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

// patienceLeft bounds the wait of Left. If the program has just forked, its child has the socket as well, and may keep it open.
const patienceLeft = time.Second

// Left waits until the resident has closed the socket, as it does after a query. Then the program no longer has that
// descriptor.
func (c *Conn) Left() {
	c.until = time.Now().Add(patienceLeft)
	var b [64]byte
	for c.read(b[:]) == nil { // the resident sends more, and the time limit ends the loop
	}
}

// Frozen waits until every thread of the program is parked, and returns the threads. If the resident could not freeze the
// program, the error is a *FreezeError.
func (c *Conn) Frozen(patience time.Duration) ([]abi.Thread, error) {
	c.patience = patience
	message, err := c.message()
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

// believe checks the resident's number of threads against /proc before memory is allocated for them. It does not check a small
// number, which takes little memory in any case.
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

// Calls makes the initiator execute system calls in the frozen program, in order. Arguments whose bit is set in
// Relative are offsets into data, which the calls may change. The result of a failed call is
// -errno. There may be at most abi.CallsMax calls and abi.DataMax bytes.
func (c *Conn) Calls(calls []abi.Call, data []byte) ([]int64, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	if len(calls) > abi.CallsMax || len(data) > abi.DataMax {
		return nil, fmt.Errorf("pid %d: %d calls with %d bytes of data are too many", c.Pid, len(calls), len(data))
	}
	request := abi.Message{Type: abi.Calls, Count: uint32(len(calls)), Length: uint64(len(calls)*abi.CallSize + len(data))}
	if err := c.write(bytesOf(&request), bytesOfSlice(calls), data); err != nil {
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

// Snapshot makes the frozen program fork its twin. It returns the twin's PID in the program's PID namespace. The twin lives
// until Close. The program stays frozen.
func (c *Conn) Snapshot() (int, error) {
	request := abi.Message{Type: abi.Snapshot}
	if err := c.write(bytesOf(&request)); err != nil {
		return 0, err
	}
	var result [1]int64
	if err := c.results(8, 1); err != nil {
		return 0, err
	}
	if err := c.read(bytesOfSlice(result[:])); err != nil {
		return 0, err
	}
	if result[0] < 0 {
		return 0, fmt.Errorf("pid %d: fork: %w", c.Pid, unix.Errno(-result[0]))
	}
	return int(result[0]), nil
}

// Resume lets a frozen program go on.
func (c *Conn) Resume() error {
	c.frozen = false
	request := abi.Message{Type: abi.Resume}
	return c.write(bytesOf(&request))
}

// Progress keeps a program frozen: if no message comes for Hello.Limit, the resident ends the freeze. Progress may be called
// while another goroutine uses the Conn.
func (c *Conn) Progress() {
	request := abi.Message{Type: abi.Progress}
	c.write(bytesOf(&request)) // if this fails, the next exchange fails, too
}

// Confirm checks that the program is still frozen. If the resident has ended the freeze, the error is ErrLetGo.
func (c *Conn) Confirm() error {
	request := abi.Message{Type: abi.Calls}
	if err := c.write(bytesOf(&request)); err != nil {
		return err
	}
	return c.results(0, 0)
}

// Kill kills the frozen program. The initiator makes the kill system call. So if the resident has ended the freeze meanwhile, the
// program is not killed, and the error is ErrLetGo.
func (c *Conn) Kill() error {
	kill := abi.Call{Number: unix.SYS_KILL, Args: [6]uint64{uint64(c.Hello.Pid), uint64(unix.SIGKILL)}}
	_, err := c.Calls([]abi.Call{kill}, nil)
	switch {
	case errors.Is(err, ErrLetGo):
		return err
	case err == nil: // process 1 of a PID namespace cannot kill itself; a process outside of the namespace can kill it
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

// some waits for at least one byte and reads what has come.
func (c *Conn) some(b []byte) (int, error) {
	for range busypoll.Limit() {
		if n, err := c.receive(b); err != unix.EAGAIN {
			return n, err
		}
		busypoll.Yield()
	}
	if err := c.file.SetReadDeadline(c.until); err != nil {
		return 0, err
	}
	raw, err := c.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	n, failed := 0, error(nil)
	err = raw.Read(func(uintptr) bool {
		n, failed = c.receive(b)
		return failed != unix.EAGAIN
	})
	return n, cmp.Or(err, failed)
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
		if begun.After(c.until) || c.waited > patienceAll {
			return fmt.Errorf("pid %d: %w", c.Pid, ErrSilent)
		}
		n, err := c.some(b)
		c.waited += time.Since(begun)
		switch {
		case err == unix.EINTR:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("pid %d: %w", c.Pid, ErrSilent)
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

// patienceEnd is how long to wait for the end of a process that has closed the socket: a process that ends closes its files
// first.
const patienceEnd = time.Second

// ended returns the reason why the resident has closed the socket.
func (c *Conn) ended() error {
	process, err := unix.PidfdOpen(c.Pid, 0)
	if err == nil {
		defer unix.Close(process)
	}
	if err == nil && c.frozen {
		fds := []unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}
		if n, err := busypoll.Poll(fds, patienceEnd); n == 0 && err == nil {
			return fmt.Errorf("pid %d: %w", c.Pid, ErrLetGo)
		}
	}
	return fmt.Errorf("pid %d: it has ended meanwhile, or has executed another program: %w", c.Pid, io.ErrUnexpectedEOF)
}

// write sends all parts, if possible in one call, because each call wakes the initiator.
func (c *Conn) write(parts ...[]byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
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
	if err := c.file.SetWriteDeadline(time.Now().Add(patienceWire)); err != nil {
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
