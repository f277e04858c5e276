package coord

import (
	"fmt"
	"time"

	"crak.dev/crak/internal/proc"
)

// timeoutStarving is how long to wait for a thread that gets no processor: the machine may be suspended, or very busy.
const timeoutStarving = 30 * time.Second

// A processorTime is what a thread has used of a processor at a moment.
type processorTime struct {
	pid, tid int
	at       time.Time
	ticks    uint64
}

// processorTime is the processor time of the thread that takes orders.
func (m *member) processorTime() processorTime {
	p := processorTime{pid: m.pid, tid: m.live, at: time.Now()}
	p.ticks, _ = p.used()
	return p
}

func (p processorTime) used() (ticks uint64, runnable bool) {
	stat, err := proc.Read(p.pid, fmt.Sprintf("task/%d/stat", p.tid), proc.Stat)
	if err != nil {
		return 0, false
	}
	return stat.Utime + stat.Stime, stat.State == 'R'
}

// starves tells whether the thread has been able to run since, but has had less than a tenth of a processor.
func (p processorTime) starves() bool {
	const perSecond = 100 // ticks: USER_HZ
	waited := time.Since(p.at)
	ticks, runnable := p.used()
	return runnable && waited < timeoutStarving && float64(ticks-p.ticks) < waited.Seconds()*perSecond/10
}
