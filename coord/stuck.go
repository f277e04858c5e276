package coord

import (
	"fmt"
	"time"

	"crak.dev/crak/internal/obstacle"
)

// A program can have files of a file system that never answers: that of a FUSE server of its own, or of a network file system whose
// server is gone. A thread of crak that asks such a file system waits in the kernel, and only the end of crak ends this wait. So the
// work is done by another goroutine, and is given up when it makes no progress. The process then ends, which resumes the program.

// patienceStuck is how long the work may make no progress. It is longer than each single wait for a resident. Once the image is being
// written, the work may wait slowDisk times as long: to sync a large file to a slow disk can take minutes.
var patienceStuck = 3 * time.Minute

const (
	slowDisk      = 10
	intervalStuck = 100 * time.Millisecond // between two looks for progress
	patienceLog   = 5 * time.Second        // to write a line of the log
)

// moved notes that the work has made progress.
func (c *checkpoint) moved() { c.moves.Add(1) }

// bounded does the work. The error is an obstacle.List if the work makes no progress.
func (c *checkpoint) bounded(work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	looks := time.NewTicker(intervalStuck)
	defer looks.Stop()
	before, since := uint64(0), time.Now()
	for {
		select {
		case err := <-done:
			return err
		case <-looks.C:
		}
		now, patience := c.moves.Load(), patienceStuck
		if w := c.writing.Load(); w != nil {
			now, patience = now+w.Advance(), slowDisk*patience
		}
		if now != before {
			before, since = now, time.Now()
		}
		if waited := time.Since(since); waited > patience {
			return obstacle.List{{Pid: c.Pid, What: "no progress", Why: fmt.Sprintf("crak has waited for %.0f s: a file system that the program uses, or that of its images, may not answer", waited.Seconds()),
				Do: "look for a mount that does not answer (FUSE, NFS), and unmount it"}}
		}
	}
}

// within waits for f, but not longer than patience.
func within(patience time.Duration, f func()) {
	done := make(chan bool)
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
	}
}
