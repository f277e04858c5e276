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

// The resident bounds a freeze. It resumes the program if it gets no message from the writer for CRAK_FREEZE_LIMIT. A writer
// that is stopped, or waits for a disk that hangs, therefore cannot keep the program frozen.

// progressPart is how many PROGRESS messages the writer sends within one freeze limit, at most.
const progressPart = 8

// keepFrozen sends PROGRESS to the resident at intervals, but only if the image's writer has
// read or written something since the last one. The result stops it.
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

// confirm checks just before the commit that a program that is to be ended is still frozen.
func (c *checkpoint) confirm() error {
	if !c.Kill {
		return nil // the memory is a twin's, or saveStill has asked before RESUME
	}
	return c.member.conn.Confirm()
}

// kill ends the frozen program after the commit. It waits for the end, so that the PID is free for a restart.
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

// A survivorError means that the image is committed, but the program was resumed before kill could end it.
type survivorError struct {
	path string // of the image
	err  error
}

func (e *survivorError) Error() string {
	return fmt.Sprintf("image %q is committed, but the program runs on: %v", e.path, e.err)
}

func (e *survivorError) Unwrap() error { return e.err }

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
