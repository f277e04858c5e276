package compile

import (
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

const (
	sigevNone    = 1     // SIGEV_NONE
	timerIDsMost = 10000 // the largest ID that is reached by counting
)

// sigevent is struct sigevent (sigevent(3type)).
type sigevent struct {
	Value  uint64
	Signal int32
	Notify int32
	Tid    int32
	_      [11]int32
}

type timeval struct{ Sec, Usec int64 }

// armTimers starts the timers, also those that are descriptors. It comes last, because from then on they run.
func (c *compiler) armTimers() {
	c.ask()
	for _, do := range c.going {
		do()
	}
	for i := range c.process.Timers {
		t := &c.process.Timers[i]
		spec := unix.ItimerSpec{Interval: unix.NsecToTimespec(t.IntervalNs), Value: unix.NsecToTimespec(t.ValueNs)}
		flags := 0
		again := t.Overrun > 0 && c.takes(t)
		if c.waits[t.ID] || again {
			spec.Value, flags = c.expired(t)
		}
		if spec.Value != (unix.Timespec{}) {
			c.b.Call(unix.SYS_TIMER_SETTIME, program.Const(t.ID), program.Const(flags), c.set.Struct(spec), program.Const(0))
		}
		if again {
			c.b.Call(unix.SYS_RT_SIGTIMEDWAIT, c.set.Struct(uint64(1)<<(t.Signal-1)), program.Const(0),
				c.set.Struct(unix.Timespec{Sec: 1}), program.Const(sigsetSize)).Note("overruns").MayFail()
		}
	}
	for which, t := range c.process.Intervals {
		if which == int(unix.ITIMER_REAL) && t.ValueUs == 0 {
			t.ValueUs = t.IntervalUs // it has expired; the kernel starts it again when the program takes the pending SIGALRM
		}
		if t.ValueUs != 0 {
			spec := [2]timeval{microseconds(t.IntervalUs), microseconds(t.ValueUs)}
			c.b.Call(unix.SYS_SETITIMER, program.Const(which), c.set.Struct(spec), program.Const(0))
		}
	}
}

// waitingTimers returns the IDs of timers that have an interval and a pending signal. Such a signal is not queued by the
// process: the timer sends it again. A timer counts overruns only while a signal that it has sent itself is pending.
func (c *compiler) waitingTimers() map[int32]bool {
	interval := make(map[int32]bool)
	for _, t := range c.process.Timers {
		interval[t.ID] = t.IntervalNs != 0
	}
	waits := make(map[int32]bool)
	note := func(all []image.SignalInfo) {
		for _, info := range all {
			if id, ok := info.Timer(); ok && interval[id] {
				waits[id] = true
			}
		}
	}
	note(c.process.Pending)
	for i := range c.process.Threads {
		note(c.process.Threads[i].Pending)
	}
	return waits
}

// takes tells whether a timer's last overrun count (timer_getoverrun(2)) can be restored. For that the process takes one more
// signal of the timer. It cannot where the process has another signal of the same number pending.
func (c *compiler) takes(t *image.PosixTimer) bool {
	if t.Signal < 1 || t.Signal > 64 || c.waits[t.ID] || t.IntervalNs == 0 || t.ValueNs == 0 || t.Notify != 0 {
		return false
	}
	if _, ok := c.target.Now(t.Clock); !ok {
		return false
	}
	return c.pending&(1<<(t.Signal-1)) == 0
}

// expired returns a time in the past at which to set a timer. The timer then expires at once, has the overruns that it had,
// and keeps its phase. The process's CPU-time clock has just begun: on it the timer expires after one nanosecond, without them.
func (c *compiler) expired(t *image.PosixTimer) (value unix.Timespec, flags int) {
	now, ok := c.target.Now(t.Clock)
	first := now + t.ValueNs - (int64(t.Overrun)+1)*t.IntervalNs
	if !ok || first <= 0 {
		return unix.NsecToTimespec(1), 0
	}
	return unix.NsecToTimespec(first), unix.TIMER_ABSTIME
}

func microseconds(n int64) timeval { return timeval{n / 1e6, n % 1e6} }

// createTimers creates each timer with the ID it had. Since Linux 6.15 the kernel accepts an ID. Older kernels count from 0: there
// the process also creates the timers in between, and deletes them.
func (c *compiler) createTimers() {
	if len(c.process.Timers) > 0 {
		c.createAllTimers()
	}
	if c.process.Attributes.TimerIDs && c.target.TimerIDs {
		c.restoreIDs(unix.PR_TIMER_CREATE_RESTORE_IDS_ON)
	}
}

func (c *compiler) createAllTimers() {
	byID := make(map[int32]*image.PosixTimer)
	last := int32(0)
	for i := range c.process.Timers {
		t := &c.process.Timers[i]
		byID[t.ID] = t
		last = max(last, t.ID)
	}
	if c.target.TimerIDs {
		c.restoreIDs(unix.PR_TIMER_CREATE_RESTORE_IDS_ON)
		for i := range c.process.Timers {
			c.createTimer(&c.process.Timers[i])
		}
		c.restoreIDs(unix.PR_TIMER_CREATE_RESTORE_IDS_OFF)
		return
	}
	if last > timerIDsMost {
		c.fail(fmt.Errorf("timer %d: a kernel before Linux 6.15 cannot create it with this ID", last))
		return
	}
	filler := image.PosixTimer{Notify: sigevNone}
	for id := range last + 1 {
		if t := byID[id]; t != nil {
			c.createTimer(t)
			continue
		}
		filler.ID = id
		c.createTimer(&filler)
		c.b.Call(unix.SYS_TIMER_DELETE, program.Const(id))
	}
}

func (c *compiler) restoreIDs(on int) {
	c.b.Call(unix.SYS_PRCTL, program.Const(unix.PR_TIMER_CREATE_RESTORE_IDS), program.Const(on), program.Const(0), program.Const(0), program.Const(0))
}

func (c *compiler) createTimer(t *image.PosixTimer) {
	event := sigevent{Value: t.Value, Signal: t.Signal, Notify: t.Notify, Tid: int32(t.Tid)}
	id := c.set.Variable(program.Raw(t.ID))
	c.b.Call(unix.SYS_TIMER_CREATE, program.Const(t.Clock), c.set.Struct(event), id)
}
