package coord

import (
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/resident"
)

// A freeze is bounded by the resident: without a message from us it lets the program go, after CRAK_FREEZE_LIMIT. So a
// writer that is stopped, or that waits for a disk which hangs, holds nobody up for ever.

// progressPart is how often in the resident's limit it hears that there is progress.
const progressPart = 8

// keepFrozen tells the resident now and then that the work goes on, but only if it does. The result ends that.
func (c *checkpoint) keepFrozen() (silence func()) {
	limit := time.Duration(c.member.conn.Hello.Limit) * time.Millisecond
	ticker := time.NewTicker(max(limit/progressPart, 10*time.Millisecond))
	done := make(chan struct{})
	conn, writer, before := c.member.conn, c.writer, c.writer.Advance()
	var told sync.WaitGroup
	told.Go(func() {
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			if now := writer.Advance(); now != before {
				conn.Progress()
				before = now
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		told.Wait()
	})
}

// confirm makes sure, before the image gets its name, that the program has stood still so long.
func (c *checkpoint) confirm() error {
	if !c.Kill {
		return nil // the twin stands still, or it was asked before it was let go
	}
	return c.member.conn.Confirm()
}

// kill ends the frozen program, whose image is committed, and waits for the end: its PID is to be free for a restart.
func (c *checkpoint) kill(path string) error {
	process, err := unix.PidfdOpen(c.Pid, 0)
	if err == nil {
		defer unix.Close(process)
	}
	killed := c.member.conn.Kill()
	if errors.Is(killed, resident.ErrLetGo) {
		return &survivorError{path, killed}
	}
	if killed != nil {
		return fmt.Errorf("pid %d: kill: %w", c.Pid, killed)
	}
	if err == nil {
		waitForEnd(process)
	}
	return nil
}

// A survivorError is that of a program that was to be ended after its image, and runs on.
type survivorError struct {
	path string // of the image
	err  error
}

func (e *survivorError) Error() string {
	return fmt.Sprintf("image %q stands, but the program runs on: %v", e.path, e.err)
}

func (e *survivorError) Unwrap() error { return e.err }

// stops are the signals by which a terminal stops a job.
var stops = []uintptr{uintptr(unix.SIGTSTP), uintptr(unix.SIGTTIN), uintptr(unix.SIGTTOU)}

// unstoppable ignores the signals of a terminal that would stop us while a program is frozen. The result takes that back.
// (Package os/signal can ignore them, but does not give them their default back.)
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
