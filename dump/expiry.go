package dump

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// times is how long the timers of a process still run, and which signals were pending immediately afterwards.
type times struct {
	intervals [3]image.IntervalTimer // ITIMER_REAL, _VIRTUAL, _PROF
	timers    []remaining            // of each timer in image.Process.Timers
	pending   uint64                 // signals of the initiator and of the process
}

// remaining is how long a POSIX timer still runs.
type remaining struct{ intervalNs, valueNs int64 }

// intervalSignals has the signal of each interval timer (setitimer(2)).
var intervalSignals = [3]unix.Signal{unix.SIGALRM, unix.SIGVTALRM, unix.SIGPROF}

// timersAndSignals records how long each timer still runs, and which signals are pending. Timers run on during a freeze. If one
// expires after it was read and before the signals are read, its signal would come twice after a restart. If the signals were
// read first, its signal could be lost. So the timers are read again after the signals. If one has expired in
// between, both are read once more.
//
// Preconditions: the initiator has answered askTimes.
func (m *Member) timersAndSignals() error {
	for range len(m.times.intervals) + len(m.times.timers) + 1 { // each can stop once
		if err := m.pending(); err != nil {
			return err
		}
		if m.times.stopped() {
			break
		}
		before := m.times
		var ask resident.Questions
		m.askTimes(&ask)
		if err := ask.Put(m.Conn.Calls); err != nil {
			return err
		}
		if before.sameRun(&m.times) {
			m.recordTimes(&before, &m.times)
			return nil
		}
	}
	m.recordTimes(&m.times, &m.times)
	return nil
}

// askTimes asks how long the timers still run, and then which signals are pending.
//
// Preconditions: the process's POSIX timers are known.
func (m *Member) askTimes(ask *resident.Questions) {
	m.times = times{timers: make([]remaining, len(m.process.Timers))}
	for which := range m.times.intervals {
		call := abi.Call{Number: unix.SYS_GETITIMER, Relative: abi.Data(1), Args: [6]uint64{uint64(which)}}
		ask.Ask(call, make([]byte, 32), func(_ int64, data []byte) {
			m.times.intervals[which] = image.IntervalTimer{IntervalUs: duration(data, 1e6), ValueUs: duration(data[16:], 1e6)}
		})
	}
	for i, t := range m.process.Timers {
		call := abi.Call{Number: unix.SYS_TIMER_GETTIME, Relative: abi.Data(1), Args: [6]uint64{uint64(t.ID)}}
		ask.Ask(call, make([]byte, 32), func(_ int64, data []byte) {
			m.times.timers[i] = remaining{duration(data, 1e9), duration(data[16:], 1e9)}
		})
	}
	pending := abi.Call{Number: unix.SYS_RT_SIGPENDING, Relative: abi.Data(0), Args: [6]uint64{0, 8}}
	ask.Ask(pending, make([]byte, 8), func(_ int64, data []byte) { m.times.pending = binary.NativeEndian.Uint64(data) })
}

// stopped reports whether no timer runs.
func (t *times) stopped() bool {
	for _, interval := range t.intervals {
		if interval.ValueUs != 0 {
			return false
		}
	}
	for _, timer := range t.timers {
		if timer.valueNs != 0 {
			return false
		}
	}
	return true
}

// sameRun reports whether the same timers run in both.
func (t *times) sameRun(other *times) bool {
	for i := range t.intervals {
		if (t.intervals[i].ValueUs == 0) != (other.intervals[i].ValueUs == 0) {
			return false
		}
	}
	for i := range t.timers {
		if (t.timers[i].valueNs == 0) != (other.timers[i].valueNs == 0) {
			return false
		}
	}
	return true
}

// recordTimes records the timers as they were before the pending signals were read. A timer whose signal is pending is
// recorded as it was later, because it may have begun its next interval in between.
func (m *Member) recordTimes(before, later *times) {
	for which, signal := range intervalSignals {
		m.process.Intervals[which] = before.intervals[which]
		if before.pending&(1<<(signal-1)) != 0 {
			m.process.Intervals[which] = later.intervals[which]
		}
	}
	expired := m.expiredTimers()
	for i := range m.process.Timers {
		t, r := &m.process.Timers[i], before.timers[i]
		if expired[t.ID] {
			r = later.timers[i]
		}
		t.IntervalNs, t.ValueNs = r.intervalNs, r.valueNs
	}
}

// expiredTimers has the IDs of the timers whose signals are pending.
func (m *Member) expiredTimers() map[int32]bool {
	ids := make(map[int32]bool)
	note := func(all []image.SignalInfo) {
		for _, info := range all {
			if id, ok := info.Timer(); ok {
				ids[id] = true
			}
		}
	}
	note(m.process.Pending)
	for i := range m.process.Threads {
		note(m.process.Threads[i].Pending)
	}
	return ids
}

// refreshWaiting updates what threads said of their pending signals. Only a timer can have changed it: all members are frozen.
func (m *Member) refreshWaiting() error {
	targets := make(map[int32]bool)
	for _, t := range m.process.Timers {
		targets[int32(t.Tid)] = t.Tid != 0
	}
	for i := range m.waiting {
		w := &m.waiting[i]
		w.shared = w.shared || m.times.pending != 0
		if !targets[m.process.Threads[i].Parked.Tid] {
			continue
		}
		s, err := proc.Read(w.tid, "status", proc.Status)
		if err != nil {
			return err
		}
		w.own = w.own || s.SigPnd != 0
	}
	return nil
}
