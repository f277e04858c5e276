package resident

import (
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

	buffer *[aheadMost]byte // from buffers; nil: ahead is empty
	ahead  []byte           // part of buffer: bytes that have come and are not read yet

	early *Questions // were sent with the proof, and are not answered yet

	asked time.Time // before the last request that the resident has answered under freeze

	timeout time.Duration // longest wait for one message
	until   time.Time     // when the current message must be complete
	waited  time.Duration // for all messages so far
}

// Close closes the socket. A frozen program goes on, and a twin exits.
func (c *Conn) Close() {
	c.file.Close()
}

// Interrupt ends the connection, as Close does, but leaves the socket open: a call that waits for the resident fails, and so do later
// ones. It may be called while another goroutine uses the Conn, and after Close.
func (c *Conn) Interrupt() {
	if raw, err := c.file.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
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

func (c *Conn) message() (m abi.Message, err error) {
	c.until = time.Now().Add(c.timeout)
	err = c.read(bytesOf(&m))
	return m, err
}
