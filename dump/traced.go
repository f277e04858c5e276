package dump

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// traced calls do while the writer traces a thread and has stopped it. tid is its TID in the writer's PID namespace. It is
// used for what only a tracer can read, and only for threads that have such state, because it takes long. The program does
// not notice it, because the thread is parked.
func traced(tid int, do func() error) error {
	runtime.LockOSThread() // the tracer is one thread, not the process
	defer runtime.UnlockOSThread()
	if err := ptrace(unix.PTRACE_SEIZE, tid, 0, 0); err != nil {
		return fmt.Errorf("ptrace seize: %w", err)
	}
	defer unix.PtraceDetach(tid)
	if err := ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0); err != nil {
		return fmt.Errorf("ptrace interrupt: %w", err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(tid, &status, unix.WALL, nil); err != nil {
		return fmt.Errorf("wait: %w", err)
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
		err := traced(w.tid, func() error {
			return ptrace(unix.PTRACE_GET_RSEQ_CONFIGURATION, w.tid, unsafe.Sizeof(area), uintptr(unsafe.Pointer(&area)))
		})
		if err != nil {
			return fmt.Errorf("thread %d: rseq area: %w", w.tid, err)
		}
		p.Rseq, p.RseqLength, p.RseqSignature = area.pointer, area.size, area.signature
	}
	return nil
}
