package resident

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

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
	request := requestOf(calls, data)
	if err := c.request(file, bytesOf(&request), bytesOfSlice(calls), data); err != nil {
		return nil, err
	}
	failed := meanwhile() // the answer has to be read in any case
	if err := c.Settle(); err != nil {
		return nil, err
	}
	results, err := c.answer(len(calls), data)
	if err != nil {
		return nil, err
	}
	c.asked = begun
	return results, failed
}

func requestOf(calls []abi.Call, data []byte) abi.Message {
	return abi.Message{Type: abi.Calls, Count: uint32(len(calls)), Length: uint64(len(calls)*abi.CallSize + len(data))}
}

// Settle reads the answers to the early questions (Listener.Early), if that has not happened yet.
//
// Preconditions: Frozen has returned the threads.
func (c *Conn) Settle() error {
	q := c.early
	if q == nil {
		return nil
	}
	c.early = nil
	results, err := c.answer(len(q.calls), q.data)
	if err != nil {
		return err
	}
	q.pass(0, results)
	return nil
}

// answer reads the results of calls, and the data as the calls have changed it.
func (c *Conn) answer(calls int, data []byte) ([]int64, error) {
	results := make([]int64, calls)
	if err := c.results(uint64(len(results)*8+len(data)), uint32(len(results))); err != nil {
		return nil, err
	}
	if err := c.read(bytesOfSlice(results)); err != nil {
		return nil, err
	}
	return results, c.read(data)
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
