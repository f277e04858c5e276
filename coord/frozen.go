package coord

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/network"
	"crak.dev/crak/internal/resident"
)

// The resident bounds a freeze. It resumes the program if it gets no message from the writer for CRAK_FREEZE_LIMIT. A writer
// that is stopped, or waits for a disk that hangs, therefore cannot keep the program frozen.

// progressPart is how many PROGRESS messages the writer sends within one freeze limit, at most.
const progressPart = 8

// A keepalive keeps the frozen members frozen. At intervals it sends PROGRESS to their residents, but only if the checkpoint has made
// progress since the last time: if another member was frozen, or if the image's writer has read or written something. If a resident has
// ended the freeze, the keepalive has the image's writer give up.
//
// In a group of several users it sends none, except with --kill: one of the users could have memory or files that take hours to read, and
// the processes of the others would stand still.
type keepalive struct {
	silent bool // it sends none
	mu     sync.Mutex
	writer *image.Writer
	conns  []*resident.Conn
	limit  time.Duration // the shortest freeze limit of the members
	ticker *time.Ticker
	done   chan struct{}
	ended  chan struct{}
}

// begin starts the keepalive, which has no members yet.
func (k *keepalive) begin(w *image.Writer, silent bool) {
	k.writer, k.conns, k.limit, k.silent = w, nil, math.MaxInt64, silent
	k.ticker = time.NewTicker(time.Hour)
	k.done, k.ended = make(chan struct{}), make(chan struct{})
	go k.work(k.done, k.ended)
}

// add has the keepalive send its messages to a frozen member, too.
func (k *keepalive) add(conn *resident.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns = append(k.conns, conn)
	if limit := time.Duration(conn.Hello.Limit) * time.Millisecond; limit < k.limit {
		k.limit = limit
		k.ticker.Reset(max(limit/progressPart, 10*time.Millisecond))
	}
}

func (k *keepalive) work(done, ended chan struct{}) {
	defer close(ended)
	defer k.ticker.Stop()
	before, members := k.writer.Advance(), 0
	for {
		select {
		case <-done:
			return
		case <-k.ticker.C:
		}
		k.mu.Lock()
		now := k.writer.Advance()
		moved := now != before || len(k.conns) != members
		before, members = now, len(k.conns)
		for _, conn := range k.conns {
			if err := conn.FreezeEnded(); err != nil { // what is read now is of another instant
				k.writer.GiveUp(err)
			} else if moved && !k.silent {
				conn.Progress()
			}
		}
		k.mu.Unlock()
	}
}

// end stops the keepalive. It sends no message after that.
func (k *keepalive) end() {
	if k.done == nil {
		return
	}
	close(k.done)
	<-k.ended
	k.done = nil
}

// confirm checks just before the commit that a group that is to be ended is still frozen.
func (c *checkpoint) confirm() error {
	c.at("rename")
	if !c.Kill {
		return nil // the memory is that of twins, or resume has asked before RESUME
	}
	return c.each((*member).confirm)
}

func (m *member) confirm() error { return m.conn.Confirm() }

// kill ends the frozen group after the commit. No member notices the end of another one, because all are frozen. It waits for
// the ends, so that the PIDs are free for a restart.
func (c *checkpoint) kill(path string) error {
	c.table.EndConnections(path)
	err := c.each(func(m *member) error {
		process, err := unix.PidfdOpen(m.pid, 0)
		if err == nil {
			defer unix.Close(process)
		}
		if err == unix.ESRCH || err == nil && m.isGone() {
			return nil // it has ended; another process may have its PID
		}
		if err != nil {
			return fmt.Errorf("pid %d: pidfd_open: %w", m.pid, err)
		}
		killed := m.conn.Kill(process)
		if errors.Is(killed, resident.ErrFreezeEnded) {
			return &notKilledError{path, killed}
		}
		if killed != nil {
			return fmt.Errorf("pid %d: kill: %w", m.pid, killed)
		}
		waitForEnd(process)
		return nil
	})
	if err == nil && c.link != "" {
		_ = network.RemoveLink() // without CAP_NET_ADMIN it ends with the namespace
	}
	return err
}

// A notKilledError means that the image is committed, but the program was resumed before kill could end it.
type notKilledError struct {
	path string // of the image
	err  error
}

func (e *notKilledError) Error() string {
	return fmt.Sprintf("image %q is committed, but the program runs on: %v", e.path, e.err)
}

func (e *notKilledError) Unwrap() error { return e.err }

// stops are the signals by which a terminal stops a job (termios(3)).
var stops = []uintptr{uintptr(unix.SIGTSTP), uintptr(unix.SIGTTIN), uintptr(unix.SIGTTOU)}

// unstoppable ignores the signals of a terminal that would stop the writer while a program is frozen. The result restores
// their actions. (Package os/signal can ignore signals, but cannot restore the default action.)
func unstoppable() (restore func()) {
	type action struct { // struct sigaction of the kernel
		handler, flags, restorer, mask uintptr
	}
	const ignore = 1 // SIG_IGN
	old := make([]action, len(stops))
	set := func(signal uintptr, to, from *action) {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(from)), 8, 0, 0)
	}
	for i, signal := range stops {
		set(signal, &action{handler: ignore}, &old[i])
	}
	return sync.OnceFunc(func() {
		for i, signal := range stops {
			set(signal, &old[i], nil)
		}
	})
}
