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

	buffer [1024]byte
	ahead  []byte // part of buffer: bytes that have come and are not read yet

	asked time.Time // before the last request that the resident has answered under freeze

	timeout time.Duration // longest wait for one message
	until   time.Time     // when the current message must be complete
	waited  time.Duration // for all messages so far
}

// ErrFreezeEnded means that the resident ended a freeze because the freeze limit was over.
var ErrFreezeEnded = errors.New("the program was resumed: this checkpoint made no progress during the time that CRAK_FREEZE_LIMIT allows, " +
	"or has processes of several users and took longer")

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

func (c *Conn) readHello() error {
	message, err := c.message()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("pid %d: %w", c.Pid, ErrRefused)
	}
	if err != nil {
		return err
	}
	if message.Type != abi.Hello || message.Length < abi.HelloSize || message.Length > 1<<16 {
		return fmt.Errorf("pid %d: HELLO of type %d, %d bytes", c.Pid, message.Type, message.Length)
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

// isEnding tells whether a process has ended, or is about to: the kernel closes the descriptors before the threads become zombies.
func isEnding(pid int) bool {
	tids, _ := proc.Tasks(pid)
	for _, tid := range tids {
		stat, err := proc.Read(pid, fmt.Sprintf("task/%d/stat", tid), proc.Stat)
		if err == nil && stat.Flags&proc.Exiting == 0 {
			return false
		}
	}
	return true
}

// timeoutLeft bounds the wait of Left. If the program has just forked, its child has the socket as well, and may keep it open.
const timeoutLeft = time.Second

// Left waits until the resident has closed the socket, as it does after a query. Then the program no longer has that
// descriptor.
func (c *Conn) Left() {
	c.until = time.Now().Add(timeoutLeft)
	var b [64]byte
	for c.read(b[:]) == nil { // the resident sends more, and the time limit ends the loop
	}
}

// Frozen waits until every thread of the program is parked, and returns the threads. If the resident could not freeze the
// program, the error is a *FreezeError.
func (c *Conn) Frozen(timeout time.Duration) ([]abi.Thread, error) {
	c.timeout = timeout
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
		if err := c.checkThreads(message.Count); err != nil {
			return nil, err
		}
		threads := make([]abi.Thread, message.Count)
		c.frozen = true
		return threads, c.read(bytesOfSlice(threads))
	}
	return nil, fmt.Errorf("pid %d: answer of type %d, %d bytes, to a freeze", c.Pid, message.Type, message.Length)
}

// checkThreads checks the resident's number of threads against /proc before memory is allocated for them. It does not check a small
// number, which takes little memory in any case.
func (c *Conn) checkThreads(threads uint32) error {
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
	return c.CallsWhile(calls, data, func() error { return nil })
}

// CallsWhile is Calls, and calls meanwhile while the initiator executes the system calls.
func (c *Conn) CallsWhile(calls []abi.Call, data []byte, meanwhile func() error) ([]int64, error) {
	return c.exchange(calls, data, -1, meanwhile)
}

// Give is Calls. A byte with a descriptor (SCM_RIGHTS) comes after the request, and one of the calls receives it from the socket.
func (c *Conn) Give(file int, calls []abi.Call, data []byte) ([]int64, error) {
	return c.exchange(calls, data, file, func() error { return nil })
}

func (c *Conn) exchange(calls []abi.Call, data []byte, file int, meanwhile func() error) ([]int64, error) {
	if len(calls) == 0 {
		return nil, meanwhile()
	}
	if len(calls) > abi.CallsMax || len(data) > abi.DataMax {
		return nil, fmt.Errorf("pid %d: %d calls with %d bytes of data are too many", c.Pid, len(calls), len(data))
	}
	begun := time.Now()
	request := abi.Message{Type: abi.Calls, Count: uint32(len(calls)), Length: uint64(len(calls)*abi.CallSize + len(data))}
	if err := c.request(file, bytesOf(&request), bytesOfSlice(calls), data); err != nil {
		return nil, err
	}
	failed := meanwhile() // the answer has to be read in any case
	results := make([]int64, len(calls))
	if err := c.results(uint64(len(results)*8+len(data)), uint32(len(results))); err != nil {
		return nil, err
	}
	if err := c.read(bytesOfSlice(results)); err != nil {
		return nil, err
	}
	c.asked = begun
	return results, cmp.Or(c.read(data), failed)
}

// request writes a request, and the byte with the descriptor if file is not -1. Nothing gets in between.
func (c *Conn) request(file int, parts ...[]byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.writeAll(parts); err != nil || file == -1 {
		return err
	}
	for {
		err := unix.Sendmsg(c.fd, []byte{0}, unix.UnixRights(file), nil, unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return os.NewSyscallError("sendmsg", err)
		}
	}
}

// Snapshot makes the frozen program fork its twin. It returns the twin's PID in the program's PID namespace. The twin lives
// until Close. The program stays frozen.
func (c *Conn) Snapshot() (int, error) {
	begun := time.Now()
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
	c.asked = begun
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

// Confirm checks that the program is still frozen. If the resident has ended the freeze, the error is ErrFreezeEnded. Confirm does not ask
// the resident if its last answer is recent: after each answer the resident waits for Hello.Limit.
func (c *Conn) Confirm() error {
	if limit := time.Duration(c.Hello.Limit) * time.Millisecond; c.frozen && time.Since(c.asked) < limit/2 {
		return nil
	}
	request := abi.Message{Type: abi.Calls}
	if err := c.write(bytesOf(&request)); err != nil {
		return err
	}
	return c.results(0, 0)
}

// FreezeEnded returns nil as long as the resident has its end of the socket open, and after that why it has closed it. FreezeEnded may be called while
// another goroutine uses the Conn.
func (c *Conn) FreezeEnded() error {
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLRDHUP}}
	if _, err := unix.Poll(fds, 0); err != nil || fds[0].Revents == 0 {
		return nil
	}
	if isEnding(c.Pid) {
		return fmt.Errorf("pid %d: %w", c.Pid, ErrEnded)
	}
	return fmt.Errorf("pid %d: %w", c.Pid, ErrFreezeEnded)
}

// Kill kills the frozen program. The initiator makes the kill system call. So if the resident has ended the freeze meanwhile, the
// program is not killed, and the error is ErrFreezeEnded. process is a pidfd of the program.
func (c *Conn) Kill(process int) error {
	kill := abi.Call{Number: unix.SYS_KILL, Args: [6]uint64{uint64(c.Hello.Pid), uint64(unix.SIGKILL)}}
	_, err := c.Calls([]abi.Call{kill}, nil)
	switch {
	case errors.Is(err, ErrFreezeEnded):
		return err
	case err == nil:
		// Process 1 of a PID namespace cannot kill itself; a process outside of the namespace can kill it. Another process may have answered
		// for one that has ended, whose PID a third process has now: so the PID does not count.
		if err = unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0); err != unix.ESRCH {
			return err
		}
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
	c.until = time.Now().Add(c.timeout)
	err = c.read(bytesOf(&m))
	return m, err
}
