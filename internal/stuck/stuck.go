// Package stuck gives up work that makes no progress.
//
// A program can have files of a file system that never answers: its own FUSE server may be stopped, or the server of a network file
// system may be gone. A thread of crak that asks such a file system waits in the kernel, and only the end of crak ends this wait. So
// another goroutine does the work, and Do gives the work up when it makes no progress. After that crak must end soon, because the
// goroutine may go on at any time.
package stuck

import (
	"context"
	"fmt"
	"time"

	"crak.dev/crak/internal/obstacle"
)

const interval = 100 * time.Millisecond // between two looks for progress

// Do does the work. moves returns a number that changes when the work makes progress, and how long that number may stay the same. Do
// returns the error of the work, or an *Error if it has given the work up.
func Do(ctx context.Context, moves func() (n uint64, timeout time.Duration), work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	looks := time.NewTicker(interval)
	defer looks.Stop()
	before, since := uint64(0), time.Now()
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			// Work that looks at ctx returns soon. Do does not wait longer for other work.
			select {
			case err := <-done:
				return err
			case <-time.After(time.Second):
				return &Error{time.Since(since), context.Cause(ctx)}
			}
		case <-looks.C:
		}
		now, timeout := moves()
		if now != before {
			before, since = now, time.Now()
		}
		if waited := time.Since(since); waited > timeout {
			return &Error{waited, nil}
		}
	}
}

// Error says that Do has given the work up. The goroutine of the work may still go on.
type Error struct {
	Waited time.Duration // without progress
	Cause  error         // the end of the context; nil: no progress
}

func (e *Error) Unwrap() error { return e.Cause }

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Cause.Error()
	}
	return "no progress: " + e.why()
}

func (e *Error) why() string {
	return fmt.Sprintf("crak has waited for %.0f s: a file system that the program uses, or that of its images, may not answer", e.Waited.Seconds())
}

// Obstacle is the error in words for the user.
func (e *Error) Obstacle(pid int) obstacle.Obstacle {
	return obstacle.Obstacle{Pid: pid, What: "no progress", Why: e.why(),
		Do: "look for a mount that does not answer (FUSE, NFS), and unmount it"}
}
