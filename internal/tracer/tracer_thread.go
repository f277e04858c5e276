package tracer

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// onThread has a thread of its own call a function, and closes ended when that thread is about to end. The kernel then detaches what
// the thread traces, also what has ended. Go never ends the main thread, so it cannot be this thread.
func onThread(do func(), ended chan<- struct{}) {
	go func() {
		runtime.LockOSThread() // not unlocked, so Go ends the thread with the goroutine
		if unix.Gettid() == unix.Getpid() {
			onThread(do, ended)
			runtime.UnlockOSThread()
			return
		}
		defer close(ended)
		do()
	}()
}

// work serves events of the threads, and calls, until calls is closed.
func (h *Tracer) work() {
	for {
		for h.events() {
		}
		h.admit()
		select {
		case call, more := <-h.calls:
			if !more {
				h.detach()
				return
			}
			call()
		case <-time.After(intervalHeld):
		}
	}
}

// call has the tracer call a function.
func (h *Tracer) call(do func()) {
	done := make(chan struct{})
	h.calls <- func() {
		do()
		close(done)
	}
	<-done
}

func (h *Tracer) seize(state tracedState) error {
	tids, err := proc.Tasks(h.pid)
	if err != nil {
		return err
	}
	for _, tid := range tids {
		err := ptrace(unix.PTRACE_SEIZE, tid, 0, unix.PTRACE_O_TRACESYSGOOD)
		if err == nil {
			// A process that is continued meanwhile would not stop. A thread inside the handler: then goOn has it run until its next system call.
			err = ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0)
		}
		if err != nil && !hasEnded(h.pid, tid) {
			return err
		}
		if err == nil {
			h.threads[tid] = &tracedThread{tid: tid, state: state}
		}
	}
	return nil
}

// hasEnded tells whether a thread has ended. A thread group leader is then a zombie while other threads live.
func hasEnded(pid, tid int) bool {
	stat, err := proc.Read(pid, fmt.Sprintf("task/%d/stat", tid), proc.Stat)
	return err != nil || stat.State == 'Z' || stat.State == 'X'
}

func (h *Tracer) detach() {
	for tid := range h.threads {
		unix.PtraceDetach(tid)
	}
}

func ptrace(request, tid int, address, data uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), address, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
