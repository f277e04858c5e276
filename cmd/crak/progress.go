package main

import (
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"crak.dev/crak/internal/proc"
)

// quiet is how long something may take before a bar is shown.
const quiet = time.Second

// progress shows bytes, rate and time left on stderr, if that is a terminal, of what takes more than a second.
type progress struct {
	title string
	stop  chan struct{}
	done  sync.WaitGroup
}

func newProgress(title string) *progress {
	return &progress{title: title, stop: make(chan struct{})}
}

// follow asks for the bytes done, of a total that may be an estimate, until end.
func (p *progress) follow(done func() uint64, total uint64) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return
	}
	p.done.Go(func() {
		out := &late{begun: time.Now()}
		bar := progressbar.NewOptions64(int64(max(total, 1)),
			progressbar.OptionSetDescription(p.title),
			progressbar.OptionSetWriter(out),
			progressbar.OptionShowBytes(true),
			progressbar.OptionShowCount(),
			progressbar.OptionShowTotalBytes(true),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionClearOnFinish(),
		)
		defer bar.Finish()
		for {
			select {
			case <-p.stop:
				return
			case <-time.After(quiet / 10):
				bar.Set64(int64(min(done(), total)))
			}
		}
	})
}

// late is standard error, once it has been quiet: the bar measures from the beginning, or its rate would be wrong.
type late struct{ begun time.Time }

func (l *late) Write(b []byte) (int, error) {
	if time.Since(l.begun) < quiet {
		return len(b), nil
	}
	return os.Stderr.Write(b)
}

func (p *progress) end() {
	close(p.stop)
	p.done.Wait()
}

// memoryOf is how many bytes of memory a process has, for an estimate.
func memoryOf(pid int) uint64 {
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil {
		return 0
	}
	return status.VmRSS
}
