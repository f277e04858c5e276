package dump

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
)

const signalInfoSize = 128 // siginfo_t

// waiting says which signals wait for a thread: its own, and those of the whole process.
type waiting struct {
	tid         int // in our PID namespace
	own, shared bool
	lost        []lost
	apart       bool // it shares too little with the others
}

// pending records the signals that wait, with their siginfo and in their order. Only a tracer can
// look at them without taking them.
func (m *Member) pending() error {
	done := false
	for i, w := range m.waiting {
		t := &m.process.Threads[i]
		shared := w.shared && !done
		if t.Parked.Flags&abi.ThreadDead != 0 || !w.own && !shared {
			continue
		}
		done = done || shared
		if err := m.peek(w.tid, t, shared); err != nil {
			return fmt.Errorf("thread %d: pending signals: %w", w.tid, err)
		}
	}
	return nil
}

func (m *Member) peek(tid int, t *image.Thread, shared bool) error {
	return traced(tid, func() (err error) {
		if t.Pending, err = m.queue(tid, 0); err == nil && shared {
			m.process.Pending, err = m.queue(tid, 1 /* PTRACE_PEEKSIGINFO_SHARED */)
		}
		return err
	})
}

// queue reads one queue of a stopped thread (ptrace(2), PTRACE_PEEKSIGINFO).
func (m *Member) queue(tid int, flags uint32) ([]image.SignalInfo, error) {
	all := []image.SignalInfo{}
	var infos [32][signalInfoSize]byte
	for offset := uint64(0); ; {
		args := struct {
			offset uint64
			flags  uint32
			count  int32
		}{offset, flags, int32(len(infos))}
		n, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_PEEKSIGINFO, uintptr(tid),
			uintptr(unsafe.Pointer(&args)), uintptr(unsafe.Pointer(&infos)), 0, 0)
		if errno != 0 {
			return nil, fmt.Errorf("ptrace peeksiginfo: %w", errno)
		}
		if n == 0 {
			return all, nil
		}
		for _, info := range infos[:n] {
			if !m.isOurs(info[:]) {
				all = append(all, image.SignalInfo(append([]byte(nil), info[:]...)))
			}
		}
		offset += uint64(n)
	}
}

const codeThread = -6 // SI_TKILL

// isOurs: a signal that asks for a checkpoint is no state of the program. The freeze signal is glibc's too: a thread
// that changes the user of all sends it to the others, and waits for them.
func (m *Member) isOurs(info image.SignalInfo) bool {
	signal := info.Signal()
	if signal == abi.FreezeSignal {
		return info.Code() != codeThread
	}
	if signal < 1 || int(signal) > len(m.process.Actions) {
		return false
	}
	freeze := m.process.Actions[abi.FreezeSignal-1]
	action := m.process.Actions[signal-1]
	return action.Restorer == freeze.Restorer && action.Handler > 1
}
