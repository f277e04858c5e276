package coord

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// A process that is stopped (state T, by SIGSTOP or ^Z) does not run handlers. A tracer can let its threads run the handler of the
// freeze signal, and nothing else. With PTRACE_SEIZE the process stays stopped for its parent. When the tracer detaches, the kernel
// stops the process again, and does not tell the parent (JOBCTL_STOP_PENDING in kernel/ptrace.c).
//
//	seize ─> waiting ──(the freeze signal is pending)──> inside the handler ──(rt_sigreturn)──> waiting ─> detach
//	                                                       │          ▲
//	                                                       └> paused ─┘
//
// A thread that is waiting or paused is in a ptrace stop. Inside the handler every signal is blocked. Before the thread enters the
// handler, the tracer blocks all signals but the freeze signal: the others stay pending.

// A tracer traces the threads of a stopped process. One thread of the writer is the tracer.
type tracer struct {
	pid     int
	by      int // the signal that stopped the process
	threads map[int]*tracedThread
	calls   chan func()
	ended   chan struct{}
	watch   bool // notice when a thread returns from the handler
}

type tracedThread struct {
	tid       int
	mask      uint64 // blocked signals of the program
	state     tracedState
	returning bool // in rt_sigreturn(2)
}

type tracedState int

const (
	seized  tracedState = iota // has not reached its first ptrace stop
	waiting                    // in a ptrace stop, outside of the handler
	inside                     // runs, in the handler
	pausing                    // inside, and told to stop there
	paused                     // in a ptrace stop, in the handler
)

const (
	ptraceGetMask     = 0x420a // PTRACE_GETSIGMASK
	ptraceSetMask     = 0x420b
	ptraceSyscallInfo = 0x420e  // PTRACE_GET_SYSCALL_INFO, Linux 5.3
	ptraceEventStop   = 128     // PTRACE_EVENT_STOP
	syscallStop       = 0x80    // PTRACE_O_TRACESYSGOOD
	waitNoThread      = 1 << 29 // __WNOTHREAD: tracees of this thread only
	freezeBit         = uint64(1) << (abi.FreezeSignal - 1)
	maskSize          = 8
	patienceTraced    = 5 * time.Second // for a thread to stop, or to return from the handler
	intervalHeld      = 200 * time.Microsecond
)

// traceStopped traces the threads of a stopped process. The error is a reason why it cannot.
func traceStopped(pid int) (*tracer, error) {
	h := &tracer{pid: pid, threads: make(map[int]*tracedThread), calls: make(chan func()), ended: make(chan struct{}), watch: true}
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // not unlocked: when the thread ends, the kernel detaches
		defer close(h.ended)
		begun <- h.seize()
		h.work()
	}()
	err := cmp.Or(<-begun, h.await(func(t *tracedThread) bool { return t.state == waiting }))
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *tracer) seize() error {
	tids, err := proc.Tasks(h.pid)
	if err != nil {
		return err
	}
	for _, tid := range tids {
		if err := ptrace(unix.PTRACE_SEIZE, tid, 0, unix.PTRACE_O_TRACESYSGOOD); err != nil {
			if errors.Is(err, unix.ESRCH) {
				continue // it has ended
			}
			return err
		}
		h.threads[tid] = &tracedThread{tid: tid}
	}
	return nil
}

// work serves events of the threads, and calls, until calls is closed.
func (h *tracer) work() {
	for {
		for h.event() {
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
func (h *tracer) call(do func()) {
	done := make(chan struct{})
	h.calls <- func() {
		do()
		close(done)
	}
	<-done
}

// admit lets a waiting thread into the handler when the freeze signal is pending for it.
func (h *tracer) admit() {
	for _, t := range h.threads {
		if t.state != waiting {
			continue
		}
		s, err := proc.Read(h.pid, fmt.Sprintf("task/%d/status", t.tid), proc.Status)
		if err != nil || s.SigPnd&freezeBit == 0 && (s.ShdPnd&freezeBit == 0 || h.isInside()) {
			continue
		}
		but := ^freezeBit
		if ptrace(ptraceGetMask, t.tid, maskSize, uintptr(unsafe.Pointer(&t.mask))) != nil ||
			ptrace(ptraceSetMask, t.tid, maskSize, uintptr(unsafe.Pointer(&but))) != nil {
			continue
		}
		t.state = inside
		h.goOn(t, 0)
	}
}

func (h *tracer) isInside() bool {
	for _, t := range h.threads {
		if t.state != waiting {
			return true
		}
	}
	return false
}

// goOn lets a thread run until its next event. With watch that is its next system call.
func (h *tracer) goOn(t *tracedThread, signal int) {
	request := unix.PTRACE_CONT
	if h.watch {
		request = unix.PTRACE_SYSCALL
	}
	ptrace(request, t.tid, 0, uintptr(signal))
}

// event deals with one event of a thread, if there is one.
func (h *tracer) event() bool {
	var status unix.WaitStatus
	tid, err := unix.Wait4(-1, &status, unix.WALL|unix.WNOHANG|waitNoThread, nil)
	if err != nil || tid <= 0 {
		return err == unix.EINTR
	}
	t := h.threads[tid]
	if t == nil || !status.Stopped() {
		delete(h.threads, tid)
		return true
	}
	switch signal := status.StopSignal(); {
	case int(status)>>16 == ptraceEventStop:
		h.eventStop(t, int(signal))
	case signal == unix.SIGTRAP|syscallStop:
		h.syscall(t)
	case signal == abi.FreezeSignal:
		h.goOn(t, int(signal))
	default: // it is stopped already; other signals are blocked
		h.goOn(t, 0)
	}
	return true
}

func (h *tracer) eventStop(t *tracedThread, signal int) {
	switch t.state {
	case seized:
		if signal != int(unix.SIGTRAP) { // SIGTRAP: it is not stopped any more
			h.by = signal
		}
		t.state = waiting
	case pausing:
		t.state = paused
	case inside:
		h.goOn(t, 0)
	}
}

// syscall notices the return from the handler: the thread then waits, with the signal mask that it had before.
func (h *tracer) syscall(t *tracedThread) {
	const entry, size, number = 1, 88, 24
	var info [size]byte
	ptrace(ptraceSyscallInfo, t.tid, size, uintptr(unsafe.Pointer(&info)))
	if t.returning {
		t.returning, t.state = false, waiting
		ptrace(ptraceSetMask, t.tid, maskSize, uintptr(unsafe.Pointer(&t.mask)))
		return
	}
	t.returning = info[0] == entry && info[number] == unix.SYS_RT_SIGRETURN && info[number+1] == 0
	h.goOn(t, 0)
}

// await waits until all threads are in a state.
func (h *tracer) await(isThere func(*tracedThread) bool) error {
	for deadline := time.Now().Add(patienceTraced); ; {
		all := true
		h.call(func() {
			for _, t := range h.threads {
				all = all && isThere(t)
			}
		})
		if all {
			return nil
		}
		time.Sleep(intervalHeld)
		if time.Now().After(deadline) {
			return fmt.Errorf("pid %d: a stopped thread does not run its handler under a tracer", h.pid)
		}
	}
}

// run lets the threads that are in the handler run freely, until pause.
func (h *tracer) run() { h.call(func() { h.watch = false }) }

// pause stops the threads that are in the handler, so that leave can notice when they leave it.
func (h *tracer) pause() error {
	h.call(func() {
		h.watch = true
		for _, t := range h.threads {
			h.pauseThread(t)
		}
	})
	return h.await(func(t *tracedThread) bool { return t.state == waiting || t.state == paused })
}

func (h *tracer) pauseThread(t *tracedThread) {
	if t.state == inside && ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0) == nil {
		t.state = pausing
	}
}

// leave waits until all threads have returned from the handler. They have not run an instruction of the program then.
func (h *tracer) leave() error {
	h.call(func() {
		for _, t := range h.threads {
			if t.state == paused {
				t.state = inside
				h.goOn(t, 0)
			}
		}
	})
	return h.await(func(t *tracedThread) bool { return t.state == waiting })
}

// do calls a function while a thread is in a ptrace stop. The tracer calls it.
func (h *tracer) do(tid int, function func() error) (err error) {
	var t *tracedThread
	h.call(func() {
		if t = h.threads[tid]; t != nil {
			h.pauseThread(t)
		}
	})
	if t == nil {
		return unix.ESRCH
	}
	if err := h.await(func(other *tracedThread) bool { return other != t || t.state == waiting || t.state == paused }); err != nil {
		return err
	}
	h.call(func() {
		err = function()
		if t.state == paused {
			t.state = inside
			h.goOn(t, 0)
		}
	})
	return err
}

// masks are the signal masks of the threads, by TID.
func (h *tracer) masks() map[int]uint64 {
	all := make(map[int]uint64)
	h.call(func() {
		for tid, t := range h.threads {
			all[tid] = t.mask
		}
	})
	return all
}

// close detaches. The kernel then stops the process again, unless a process has continued it. A thread may be in the handler, to reap
// the twin.
func (h *tracer) close() {
	h.pause()
	h.leave()
	close(h.calls)
	<-h.ended
}

func (h *tracer) detach() {
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
