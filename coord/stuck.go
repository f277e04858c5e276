package coord

import (
	"context"
	"errors"
	"time"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/stuck"
)

// timeoutStuck is how long the work may make no progress. It is longer than each single wait for a resident. Once the image is being
// written, the work may wait slowDisk times as long: to sync a large file to a slow disk can take minutes.
var timeoutStuck = 3 * time.Minute

const (
	slowDisk   = 10
	timeoutLog = 5 * time.Second // to write a line of the log
)

// moved notes that the work has made progress.
func (c *checkpoint) moved() { c.moves.Add(1) }

// bounded does the work. The error is an obstacle.List if the work makes no progress (package stuck). Then the process ends, which resumes
// the program.
func (c *checkpoint) bounded(work func() error) error {
	err := stuck.Do(context.Background(), func() (uint64, time.Duration) {
		if w := c.writing.Load(); w != nil {
			return c.moves.Load() + w.Advance(), slowDisk * timeoutStuck
		}
		return c.moves.Load(), timeoutStuck
	}, work)
	var gaveUp *stuck.Error
	if errors.As(err, &gaveUp) {
		return obstacle.List{gaveUp.Obstacle(c.Pid)}
	}
	return err
}

// within waits for f, but not longer than timeout.
func within(timeout time.Duration, f func()) {
	done := make(chan bool)
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(timeout):
	}
}
