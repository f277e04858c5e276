package main

import (
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"crak.dev/crak/internal/proc"
)

// quiet is the time before the bar is shown.
const quiet = time.Second

// progress shows a bar with bytes, rate and remaining time on stderr, if that is a terminal and the work takes longer than quiet.
type progress struct {
	title string
	stop  chan struct{}
	done  sync.WaitGroup
}

func newProgress(title string) *progress {
	return &progress{title: title, stop: make(chan struct{})}
}

// follow shows the result of done until end is called. The total may be an estimate.
func (p *progress) follow(done func() uint64, total uint64) {
	if !term.IsTerminal(int(os.Stderr.Fd())) {
		return
	}
	p.done.Go(func() {
		begin := make(chan struct{})
		bars := mpb.New(mpb.WithOutput(os.Stderr), mpb.WithRenderDelay(begin))
		bar := bars.AddBar(int64(max(total, 1)), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(p.title+" "), decor.CountersKibiByte("% .1f / % .1f")),
			mpb.AppendDecorators(decor.AverageSpeed(decor.SizeB1024(0), "% .1f", decor.WCSyncSpace),
				decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace)))
		late := time.AfterFunc(quiet, func() { close(begin) })
		defer func() {
			late.Stop()
			bar.Abort(true)
			bars.Wait()
		}()
		for {
			select {
			case <-p.stop:
				return
			case <-time.After(quiet / 10):
				bar.SetCurrent(int64(min(done(), max(total, 1)-1))) // the bar is complete only when the caller calls end
			}
		}
	})
}

func (p *progress) end() {
	close(p.stop)
	p.done.Wait()
}

// memoryOf is the sum of the resident set sizes of processes in bytes: an estimate of what is written.
func memoryOf(pids []int) (sum uint64) {
	for _, pid := range pids {
		if status, err := proc.Read(pid, "status", proc.Status); err == nil {
			sum += status.VmRSS
		}
	}
	return sum
}
