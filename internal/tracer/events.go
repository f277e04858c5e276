package tracer

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// goOn lets a thread run until its next event. With watch that is its next system call.
func (h *Tracer) goOn(t *tracedThread, signal int) {
	request := unix.PTRACE_CONT
	if h.watch {
		request = unix.PTRACE_SYSCALL
	}
	ptrace(request, t.tid, 0, uintptr(signal))
}

// events deals with the events of all threads, and tells whether there were any.
//
// It asks for each thread by its TID. A wait for any child would also return children of this thread that another Tracer traces:
// the kernel gives orphans to any thread of a subreaper.
func (h *Tracer) events() (any bool) {
	for _, t := range h.threads {
		for h.event(t) {
			any = true
		}
	}
	return any
}

// event deals with one event of a thread, if there is one.
func (h *Tracer) event(t *tracedThread) bool {
	if h.threads[t.tid] != t {
		return false
	}
	const which = unix.WALL | unix.WNOHANG | waitNoThread
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, t.tid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT|which, nil)
	if err != nil || info.Code == 0 {
		return err == unix.EINTR
	}
	if info.Code != cldTrapped {
		h.died(t)
		return false
	}
	status := *(*int32)(unsafe.Add(unsafe.Pointer(&info), statusOffset))
	signal, isStop := unix.Signal(status&0xff), status>>8 == ptraceEventStop
	if isStop || signal == unix.SIGTRAP|syscallStop {
		// This takes the event, because the thread may stay in this ptrace stop.
		if err := unix.Waitid(unix.P_PID, t.tid, &info, unix.WSTOPPED|which, nil); err != nil || info.Code == 0 {
			return true // it has died meanwhile
		}
	}
	switch {
	case isStop:
		h.eventStop(t, int(signal))
	case signal == unix.SIGTRAP|syscallStop:
		h.syscall(t)
	case signal == abi.FreezeSignal, signal == unix.SIGSTOP, signal == unix.SIGTSTP, signal == unix.SIGTTIN, signal == unix.SIGTTOU:
		h.goOn(t, int(signal)) // without taking the event: the signal would be lost with it if crak were killed now
	default: // other signals are blocked
		h.goOn(t, 0)
	}
	return true
}

// died handles the end of a thread. The tracer waits for it, so that the kernel tells the parent. If crak itself is the parent, the
// wait would take the status from it. Then the parent gets the status when the tracer's thread ends.
func (h *Tracer) died(t *tracedThread) {
	delete(h.threads, t.tid)
	if t.tid == h.pid {
		stat, err := proc.Read(h.pid, "stat", proc.Stat)
		if err != nil || stat.PPid == unix.Getpid() {
			return
		}
	}
	unix.Wait4(t.tid, nil, unix.WALL|unix.WNOHANG|waitNoThread, nil)
}

func (h *Tracer) eventStop(t *tracedThread, signal int) {
	if h.by = signal; signal == int(unix.SIGTRAP) { // it is not stopped, or not any more
		h.by = 0
	}
	switch t.state {
	case seized:
		t.state = waiting
	case pausing:
		t.state = paused
	case inside:
		h.goOn(t, 0)
	}
}

// syscall notices the return from the handler: the thread then waits, with the signal mask that it had before.
func (h *Tracer) syscall(t *tracedThread) {
	const entry, size, number = 1, 88, 24
	var info [size]byte
	ptrace(ptraceSyscallInfo, t.tid, size, uintptr(unsafe.Pointer(&info)))
	if t.returning {
		t.returning, t.state = false, waiting
		h.returned(t)
		return
	}
	call := binary.NativeEndian.Uint64(info[number:])
	t.returning = info[0] == entry && call == unix.SYS_RT_SIGRETURN
	if info[0] == entry && call == unix.SYS_EXIT { // of a thread group leader the kernel does not tell the tracer
		delete(h.threads, t.tid)
		unix.PtraceDetach(t.tid)
		return
	}
	h.goOn(t, 0)
}
