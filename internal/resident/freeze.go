package resident

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

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

// Snapshot makes the frozen program fork its twin. It returns the twin's PID in the program's PID namespace. The twin lives
// until Close. The program stays frozen.
func (c *Conn) Snapshot() (int, error) {
	begun := time.Now()
	request := abi.Message{Type: abi.Snapshot}
	if err := c.write(bytesOf(&request)); err != nil {
		return 0, err
	}
	if err := c.Settle(); err != nil {
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

// Resume ends the freeze.
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
	if err := c.Settle(); err != nil {
		return err
	}
	return c.results(0, 0)
}

// FreezeEnded returns nil as long as the resident has its end of the socket open. After that it returns the reason why the resident has
// closed it. FreezeEnded may be called while another goroutine uses the Conn.
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
		// Process 1 of a PID namespace cannot kill itself, but a process outside of the namespace can kill it. The signal goes to the
		// pidfd, because the program may have ended, and another process may have its PID.
		if err = unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0); err != unix.ESRCH {
			return err
		}
	}
	return nil
}
