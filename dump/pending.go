package dump

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
)

const signalInfoSize = 128 // siginfo_t

// waiting is what /proc and the kernel say of a thread besides its record: whether signals are pending for the thread itself
// (own) or for the whole process (shared), and what a restart could not restore.
type waiting struct {
	tid         int // in the writer's PID namespace
	own, shared bool
	lost        []lost
	apart       bool // it does not share its descriptors or its working directory with the other threads
}

// pending records the pending signals in their order, each with its siginfo. Only a tracer can read them without taking them
// from the queue.
func (m *Member) pending() error {
	if err := m.refreshWaiting(); err != nil {
		return err
	}
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
	return m.traced(tid, func() (err error) {
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

// isOurs reports whether a signal is part of CRAK's own work, such as a request for a checkpoint, and not state of the
// program. glibc uses the freeze signal, too: in setuid(2) and similar functions the calling thread sends it to all others
// and waits for them. Those signals are state of the program.
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
