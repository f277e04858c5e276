package dump

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// traced calls do while a thread of the member is traced and stopped.
func (m *Member) traced(tid int, do func() error) error {
	if m.Tracer != nil {
		return m.Tracer(tid, do)
	}
	return traced(tid, do)
}

// traced calls do while the writer traces a thread and has stopped it. tid is its TID in the writer's PID namespace. It is
// used for what only a tracer can read, and only for threads that have such state, because it takes long. The program does
// not notice it, because the thread is parked.
func traced(tid int, do func() error) error {
	runtime.LockOSThread() // the tracer is one thread, not the process
	defer runtime.UnlockOSThread()
	if err := ptrace(unix.PTRACE_SEIZE, tid, 0, 0); err != nil {
		return fmt.Errorf("ptrace seize: %w", err)
	}
	arrived := 0
	defer func() { ptrace(unix.PTRACE_DETACH, tid, 0, uintptr(arrived)) }()
	if err := ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0); err != nil {
		return fmt.Errorf("ptrace interrupt: %w", err)
	}
	var info unix.Siginfo
	for {
		// WNOWAIT: if the thread has stopped because a signal arrives, the signal would be lost with the event if crak were killed now.
		err := unix.Waitid(unix.P_PID, tid, &info, unix.WSTOPPED|unix.WEXITED|unix.WALL|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return fmt.Errorf("wait: %w", err)
		}
	}
	const statusOffset, trapped, eventStop = 24, 4, 128 // of si_status in siginfo_t; CLD_TRAPPED; PTRACE_EVENT_STOP
	if info.Code != trapped {
		unix.Wait4(tid, nil, unix.WALL|unix.WNOHANG, nil)
		return fmt.Errorf("wait: %w", unix.ESRCH)
	}
	if status := *(*int32)(unsafe.Add(unsafe.Pointer(&info), statusOffset)); status>>8 != eventStop {
		arrived = int(status & 0xff) // SIGSTOP: no other signal arrives, because the thread blocks all that can be blocked
	}
	return do()
}

func ptrace(request, tid int, address, data uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), address, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// foreignRseq records the areas of restartable sequences that the program, and not glibc, has registered (ptrace(2),
// PTRACE_GET_RSEQ_CONFIGURATION, Linux 5.13).
func (m *Member) foreignRseq() error {
	for i, w := range m.waiting {
		p := &m.process.Threads[i].Parked
		if p.Flags&abi.ThreadRseq == 0 {
			continue
		}
		p.Flags &^= abi.ThreadRseq
		var area struct {
			pointer         uint64
			size, signature uint32
			flags, _        uint32
		}
		err := m.traced(w.tid, func() error {
			return ptrace(unix.PTRACE_GET_RSEQ_CONFIGURATION, w.tid, unsafe.Sizeof(area), uintptr(unsafe.Pointer(&area)))
		})
		if err != nil {
			return fmt.Errorf("thread %d: rseq area: %w", w.tid, err)
		}
		p.Rseq, p.RseqLength, p.RseqSignature = area.pointer, area.size, area.signature
	}
	return nil
}
