package tracer

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// A Tracer traces the threads of a stopped process. One thread of crak is the tracer.
type Tracer struct {
	by      int // the signal that stopped the process, or 0: what the last event has said
	pid     int
	threads map[int]*tracedThread
	calls   chan func()
	ended   chan struct{}
	watch   bool // notice when a thread returns from the handler
	admits  bool // let threads into the handler
	leaving bool // begun by Leaving

	record   uint64        // address of the resident's struct abi_admission, or 0
	entering *tracedThread // has been let into the handler, and may not have entered it yet
	mask     uint64        // of entering: blocked signals of the program
}

type tracedThread struct {
	tid       int
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
	cldTrapped        = 4       // CLD_TRAPPED: in a ptrace stop
	statusOffset      = 24      // of si_status in siginfo_t
	freezeBit         = uint64(1) << (abi.FreezeSignal - 1)
	maskSize          = 8
	timeoutTraced     = 5 * time.Second // for a thread to stop, or to return from the handler
	timeoutAllTraced  = 20 * time.Second
	timeoutStop       = time.Second // for the kernel to stop a thread that is not traced any more
	intervalHeld      = 200 * time.Microsecond
)

// ErrHandling means that a thread was stopped inside the handler.
var ErrHandling = errors.New("a thread was stopped inside the handler")

// Stopped traces the threads of a stopped process. The error is a reason why it cannot.
func Stopped(pid int) (*Tracer, error) {
	h, err := start(pid, seized)
	if err == nil {
		err = h.await(func(t *tracedThread) bool { return t.state == waiting })
	}
	if err == nil && h.isHandling() {
		err = ErrHandling
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	h.call(func() {
		if err = h.findRecord(); err == nil {
			h.giveMaskBack()
			h.admits = true
		}
	})
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Leaving traces the threads of a process that is inside the handler, and that is stopped there or stops itself. Its threads run
// until they return from the handler. Leave waits for that.
func Leaving(pid int) (*Tracer, error) {
	h, err := start(pid, inside)
	h.leaving = true
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// start seizes the threads of a process, and says in which state they are.
func start(pid int, state tracedState) (*Tracer, error) {
	h := &Tracer{pid: pid, threads: make(map[int]*tracedThread), calls: make(chan func()), ended: make(chan struct{}), watch: true, admits: state == inside}
	begun := make(chan error)
	onThread(func() {
		begun <- h.seize(state)
		h.work()
	}, h.ended)
	return h, <-begun
}

// await waits until all threads are in a state. The timeout begins anew when one more of them is.
func (h *Tracer) await(isThere func(*tracedThread) bool) error {
	begun := time.Now()
	for progress, most := begun, 0; ; {
		there, all := 0, 0
		h.call(func() {
			for _, t := range h.threads {
				if all++; isThere(t) {
					there++
				}
			}
		})
		if there == all {
			return nil
		}
		if there > most {
			progress, most = time.Now(), there
		}
		time.Sleep(intervalHeld) // a wait for an event would take one that another tracer, or the parent, waits for
		if time.Since(progress) > timeoutTraced || time.Since(begun) > timeoutAllTraced {
			return fmt.Errorf("pid %d: a stopped thread does not run its handler under a tracer", h.pid)
		}
	}
}

// Run lets the threads that are in the handler run freely, until Pause.
func (h *Tracer) Run() { h.call(func() { h.watch = false }) }

// Pause stops the threads that are in the handler, so that Leave can notice when they leave it.
func (h *Tracer) Pause() error {
	h.call(func() {
		h.watch = true
		for _, t := range h.threads {
			h.pauseThread(t)
		}
	})
	return h.await(func(t *tracedThread) bool { return t.state == waiting || t.state == paused })
}

func (h *Tracer) pauseThread(t *tracedThread) {
	if t.state == inside && ptrace(unix.PTRACE_INTERRUPT, t.tid, 0, 0) == nil {
		t.state = pausing
	}
}

// Leave waits until all threads have returned from the handler. They have not run an instruction of the program then.
func (h *Tracer) Leave() error {
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

// Do calls a function while a thread is in a ptrace stop. The tracer calls it.
func (h *Tracer) Do(tid int, function func() error) (err error) {
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

// By is the signal that stopped the process, or 0 if it is not stopped: what the last event has said.
func (h *Tracer) By() (by int) {
	h.call(func() { by = h.by })
	return by
}

// Update brings By up to date: the process may have been continued, or stopped again, since the last event. Preconditions: the thread is in the
// handler.
func (h *Tracer) Update(tid int) error { return h.Do(tid, func() error { return nil }) }

// Kill kills the process. If none of its threads is traced any more, it may have ended, and another process may have its PID: then Kill
// does nothing.
func (h *Tracer) Kill() {
	h.call(func() {
		if len(h.threads) > 0 { // the kernel keeps the PID until the tracer has waited for them
			unix.Kill(h.pid, unix.SIGKILL)
		}
	})
}

// Close detaches. The kernel then stops the process again, unless a process has continued it. A thread may be in the handler, to reap
// the twin.
func (h *Tracer) Close() {
	h.Pause()
	h.Leave()
	close(h.calls)
	<-h.ended
	if h.leaving || h.by != 0 {
		h.stopped()
	}
}

// stopped waits until all threads are stopped (T), because a process that the kernel lets go is running (R) for a moment. A process
// that another one has continued does not stop.
func (h *Tracer) stopped() {
	for deadline := time.Now().Add(timeoutStop); time.Now().Before(deadline); time.Sleep(intervalHeld) { // no event: its parent is told of no stop
		all := true
		for tid := range h.threads {
			stat, err := proc.Read(h.pid, fmt.Sprintf("task/%d/stat", tid), proc.Stat)
			all = all && (err != nil || stat.State == 'T' || stat.State == 'Z' || stat.State == 'X')
		}
		if all {
			return
		}
	}
}
