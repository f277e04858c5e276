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
// pending. The kernel reports this count only when a thread takes the signal. So the initiator takes the signal and queues a
// copy. A second message takes the copy and sets the timer to a first expiry in the past. The timer expires at once and
// queues its signal again, with the same overrun count and the same next expiry as before.
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
	ask, answer := m.askOverrun(t, signal)
	if err := ask.Put(m.Conn.Calls); err != nil || answer.taken == nil {
		return err
	}
	t.Overrun = int32(binary.NativeEndian.Uint32(answer.taken[overrunAt:]))
	t.ValueNs = answer.remaining
	return m.setTimer(t, signal, max(answer.now+answer.remaining-(int64(t.Overrun)+1)*t.IntervalNs, 1))
}

type overrunAnswer struct {
	taken          []byte // the siginfo_t; nil if the signal was not pending
	remaining, now int64  // ns until the next expiry, and the time of the timer's clock
}

// askOverrun makes one message of calls. They take the timer's signal and queue it again, so that it is not lost if the
// writer is killed before it can set the timer. A negative si_code such as SI_TIMER is allowed (rt_sigqueueinfo(2)).
func (m *Member) askOverrun(t *image.PosixTimer, signal uint32) (*resident.Questions, *overrunAnswer) {
	ask, answer := new(resident.Questions), new(overrunAnswer)
	wait, buffer := takeSignal(signal)
	ask.Ask(wait, buffer, func(r int64, data []byte) {
		if r == int64(signal) {
			answer.taken = append(answer.taken, data[infoAt:]...)
		}
	})
	own := uint64(inside(m.status.NSpid, m.Pid))
	ask.AskAgain(abi.Call{Number: unix.SYS_RT_SIGQUEUEINFO, Relative: abi.Data(2), Args: [6]uint64{own, uint64(signal), infoAt}},
		func(int64, []byte) {})
	left := abi.Call{Number: unix.SYS_TIMER_GETTIME, Relative: abi.Data(1), Args: [6]uint64{uint64(t.ID)}}
	ask.Ask(left, make([]byte, 32), func(_ int64, data []byte) { answer.remaining = duration(data[16:], 1e9) })
	clock := abi.Call{Number: unix.SYS_CLOCK_GETTIME, Relative: abi.Data(1), Args: [6]uint64{uint64(t.Clock)}}
	ask.Ask(clock, make([]byte, 16), func(_ int64, data []byte) { answer.now = duration(data, 1e9) })
	return ask, answer
}

const infoAt = 24 // offset of the siginfo_t in the buffer of takeSignal

// takeSignal is a call that takes a pending signal and does not wait. Its buffer has the set, a timeout of 0, and room for the
// siginfo_t. If no signal is taken, this room keeps bytes that rt_sigqueueinfo refuses with E2BIG: an unknown si_code, and
// fields after those that the kernel knows.
func takeSignal(signal uint32) (abi.Call, []byte) {
	buffer := make([]byte, infoAt+signalInfoSize)
	binary.NativeEndian.PutUint64(buffer, 1<<(signal-1))
	for i := infoAt; i < len(buffer); i++ {
		buffer[i] = 0x80
	}
	return abi.Call{Number: unix.SYS_RT_SIGTIMEDWAIT, Relative: abi.Data(0) | abi.Data(1) | abi.Data(2), Args: [6]uint64{0, infoAt, 8, 8}}, buffer
}

func (m *Member) initiator() *image.Thread {
	i := slices.IndexFunc(m.process.Threads, func(t image.Thread) bool { return t.Parked.Flags&abi.ThreadInitiator != 0 })
	return &m.process.Threads[max(i, 0)]
}

// setTimer takes the copy of the timer's signal and arms the timer with its interval, with one message. first is the first
// expiry, as a time of the timer's clock.
//
// The timer may have expired again before the copy was queued. Then its own signal is taken, and the copy stays. The timer
// queues its signal again behind the copy, so a second message takes the copy. The two signals differ in their overrun counts.
func (m *Member) setTimer(t *image.PosixTimer, signal uint32, first int64) error {
	const absolute = 1 // TIMER_ABSTIME
	setting := make([]byte, 32)
	for i, ns := range []int64{t.IntervalNs, first} {
		binary.NativeEndian.PutUint64(setting[i*16:], uint64(ns/1e9))
		binary.NativeEndian.PutUint64(setting[i*16+8:], uint64(ns%1e9))
	}
	var ask resident.Questions
	wait, buffer := takeSignal(signal)
	copied := true
	ask.Ask(wait, buffer, func(r int64, data []byte) {
		copied = r != int64(signal) || int32(binary.NativeEndian.Uint32(data[infoAt+overrunAt:])) == t.Overrun
	})
	call := abi.Call{Number: unix.SYS_TIMER_SETTIME, Relative: abi.Data(2), Args: [6]uint64{uint64(t.ID), absolute, 0, 0}}
	var result int64
	ask.Ask(call, setting, func(r int64, _ []byte) { result = r })
	if err := ask.Put(m.Conn.Calls); err != nil {
		return err
	}
	if result < 0 {
		return fmt.Errorf("timer_settime: %w", unix.Errno(-result))
	}
	if copied {
		return nil
	}
	var again resident.Questions
	again.Ask(wait, buffer, func(int64, []byte) {})
	return again.Put(m.Conn.Calls)
}
