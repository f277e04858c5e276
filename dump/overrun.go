package dump

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

const overrunAt = 20 // offset of si_overrun in the siginfo_t of a timer's signal (sigaction(2))

// overruns finds out how often interval timers have expired again since they queued their signal, if that signal is still
// pending. The kernel reports this count only when a thread takes the signal. So the initiator takes the signal, and then sets
// the timer to a first expiry in the past. The timer expires at once and queues its signal again, with the same overrun count
// and the same next expiry as before.
func (m *Member) overruns() error {
	for _, info := range m.process.Pending {
		t := m.senderOf(info)
		if t == nil || t.IntervalNs == 0 {
			continue
		}
		if err := m.overrun(t, info); err != nil {
			return fmt.Errorf("timer %d: %w", t.ID, err)
		}
	}
	return nil
}

// senderOf returns the timer that sent a signal to the process, or nil.
func (m *Member) senderOf(info image.SignalInfo) *image.PosixTimer {
	id, ok := info.Timer()
	for i := range m.process.Timers {
		if t := &m.process.Timers[i]; ok && t.ID == id && t.Tid == 0 {
			return t
		}
	}
	return nil
}

// overrun does this for one timer. It does nothing if another signal with the same number is pending: the initiator takes its
// own signals before those of the process, and the first of several, so it could take the other one.
func (m *Member) overrun(t *image.PosixTimer, info image.SignalInfo) error {
	signal := info.Signal()
	for _, other := range m.process.Pending {
		if &other[0] != &info[0] && other.Signal() == signal {
			return nil
		}
	}
	for _, own := range m.initiator().Pending {
		if own.Signal() == signal {
			return nil
		}
	}
	var taken []byte
	var remaining, now int64
	var ask resident.Questions
	buffer := make([]byte, 8+16+signalInfoSize) // the set, a timeout of 0, and room for the answer
	binary.NativeEndian.PutUint64(buffer, 1<<(signal-1))
	wait := abi.Call{Number: unix.SYS_RT_SIGTIMEDWAIT, Relative: 1<<0 | 1<<1 | 1<<2, Args: [6]uint64{0, 24, 8, 8}}
	ask.Ask(wait, buffer, func(r int64, data []byte) {
		if r == int64(signal) {
			taken = append(taken, data[24:]...)
		}
	})
	left := abi.Call{Number: unix.SYS_TIMER_GETTIME, Relative: 1 << 1, Args: [6]uint64{uint64(t.ID)}}
	ask.Ask(left, make([]byte, 32), func(_ int64, data []byte) { remaining = duration(data[16:], 1e9) })
	clock := abi.Call{Number: unix.SYS_CLOCK_GETTIME, Relative: 1 << 1, Args: [6]uint64{uint64(t.Clock)}}
	ask.Ask(clock, make([]byte, 16), func(_ int64, data []byte) { now = duration(data, 1e9) })
	if err := ask.Put(m.Conn.Calls); err != nil || taken == nil {
		return err
	}
	t.Overrun = int32(binary.NativeEndian.Uint32(taken[overrunAt:]))
	t.ValueNs = remaining
	first := max(now+remaining-(int64(t.Overrun)+1)*t.IntervalNs, 1)
	return m.setTimer(t, first)
}

func (m *Member) initiator() *image.Thread {
	i := slices.IndexFunc(m.process.Threads, func(t image.Thread) bool { return t.Parked.Flags&abi.ThreadInitiator != 0 })
	return &m.process.Threads[max(i, 0)]
}

// setTimer arms a timer with its interval. first is the first expiry, as a time of the timer's clock.
func (m *Member) setTimer(t *image.PosixTimer, first int64) error {
	const absolute = 1 // TIMER_ABSTIME
	setting := make([]byte, 32)
	for i, ns := range []int64{t.IntervalNs, first} {
		binary.NativeEndian.PutUint64(setting[i*16:], uint64(ns/1e9))
		binary.NativeEndian.PutUint64(setting[i*16+8:], uint64(ns%1e9))
	}
	call := abi.Call{Number: unix.SYS_TIMER_SETTIME, Relative: 1 << 2, Args: [6]uint64{uint64(t.ID), absolute, 0, 0}}
	results, err := m.Conn.Calls([]abi.Call{call}, setting)
	if err == nil && results[0] < 0 {
		err = fmt.Errorf("timer_settime: %w", unix.Errno(-results[0]))
	}
	return err
}
