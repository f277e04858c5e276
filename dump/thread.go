package dump

import (
	"cmp"
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/kcmp"
	"crak.dev/crak/internal/proc"
)

// threads records every thread, the thread group leader first.
func (m *Member) threads() error {
	main := m.Conn.Hello.Pid
	outside, err := m.numbers()
	if err != nil {
		return err
	}
	if err := m.believe(outside); err != nil {
		return err
	}
	slices.SortFunc(m.Threads, func(a, b abi.Thread) int {
		if a.Tid == main || b.Tid == main {
			return order(a.Tid == main) - order(b.Tid == main)
		}
		return int(a.Tid - b.Tid)
	})
	if m.Threads[0].Tid != main {
		dead := abi.Thread{Tid: main, Flags: abi.ThreadDead, Syscall: -1}
		m.Threads = slices.Insert(m.Threads, 0, dead)
	}
	m.process.Threads = make([]image.Thread, len(m.Threads))
	m.waiting = make([]waiting, len(m.Threads))
	return inParallel(len(m.Threads), func(i int) error {
		t := &m.process.Threads[i]
		t.Parked = m.Threads[i]
		tid := outside[int(t.Parked.Tid)]
		if err := m.as(func() error { return m.thread(t, tid, &m.waiting[i]) }); err != nil {
			return fmt.Errorf("thread %d: %w", t.Parked.Tid, err)
		}
		return nil
	})
}

// inParallel calls do for 0 to n-1, on all processors if the writer has descriptors enough. It returns one of their errors.
func inParallel(n int, do func(i int) error) error {
	workers := min(workers(), n)
	errs := make(chan error, workers)
	for worker := range workers {
		go func() {
			var err error
			for i := worker; i < n && err == nil; i += workers {
				err = do(i)
			}
			errs <- err
		}()
	}
	var first error
	for range workers {
		first = cmp.Or(first, <-errs)
	}
	return first
}

func order(first bool) int {
	if first {
		return 0
	}
	return 1
}

// thread records what /proc and the kernel say of a parked thread. tid is its TID in the writer's PID namespace.
func (m *Member) thread(t *image.Thread, tid int, w *waiting) error {
	s := m.status
	if tid != s.Pid {
		var err error
		if s, err = proc.Read(m.Pid, fmt.Sprintf("task/%d/status", tid), proc.Status); err != nil {
			return err
		}
	}
	t.Comm = s.Name
	t.Credentials = image.Credentials{
		UID:         s.Uid,
		GID:         s.Gid,
		Groups:      s.Groups,
		Inheritable: s.CapInh,
		Permitted:   s.CapPrm,
		Effective:   s.CapEff,
		Bounding:    s.CapBnd,
		Ambient:     s.CapAmb,
		NoNewPrivs:  s.NoNewPrivs,
	}
	t.Speculation = speculation(&s)
	*w = waiting{tid: tid, own: s.SigPnd != 0, shared: s.ShdPnd != 0, lost: lostOf(&s)}
	if t.Parked.Flags&abi.ThreadDead != 0 {
		return nil
	}
	w.apart = m.isApart(tid)
	return schedule(tid, t)
}

// isApart reports whether a thread does not share its descriptors, or its directories and umask, with the other threads.
func (m *Member) isApart(tid int) bool {
	if tid == m.Live {
		return false
	}
	for _, what := range []kcmp.Kind{kcmp.Table, kcmp.Directories} {
		if order, err := kcmp.Threads(m.Live, tid, what); err == nil && order != 0 {
			return true
		}
	}
	return false // also if the kernel has no kcmp(2)
}

// numbers maps the TIDs of all threads in /proc from the program's PID namespace to the writer's.
func (m *Member) numbers() (map[int]int, error) {
	if m.status.Threads == 1 && m.Live == m.Pid {
		return map[int]int{int(inside(m.status.NSpid, m.Pid)): m.Pid}, nil
	}
	tasks, err := proc.Tasks(m.Pid)
	if err != nil {
		return nil, err
	}
	outside := make(map[int]int, len(tasks))
	for _, task := range tasks {
		if len(m.status.NSpid) <= 1 {
			outside[task] = task
			continue
		}
		s, err := proc.Read(m.Pid, fmt.Sprintf("task/%d/status", task), proc.Status)
		if err != nil {
			continue // the thread has ended
		}
		outside[s.NSpid[len(s.NSpid)-1]] = task
	}
	return outside, nil
}

// believe checks the resident's list of parked threads against /proc. Each must be a thread of the process and be listed once.
// Any other thread in /proc must have ended.
func (m *Member) believe(outside map[int]int) error {
	parked := make(map[int]bool, len(m.Threads))
	for _, t := range m.Threads {
		tid := int(t.Tid)
		if _, there := outside[tid]; !there || parked[tid] {
			return fmt.Errorf("its resident lists thread %d, which does not exist or is listed twice", tid)
		}
		parked[tid] = true
	}
	for tid, task := range outside {
		if parked[tid] {
			continue
		}
		s, err := proc.Read(m.Pid, fmt.Sprintf("task/%d/stat", task), proc.Stat)
		if err == nil && s.State != 'Z' && s.State != 'X' {
			return fmt.Errorf("its resident does not list thread %d", tid)
		}
	}
	return nil
}

// niceOf is the nice value of a thread. sched_getattr(2) shows 0 if the thread's policy does not use it; getpriority(2) shows
// it always.
func niceOf(tid int, shown int32) int32 {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
	if err != nil {
		return shown
	}
	return int32(20 - raw) // the system call returns 20 - nice (getpriority(2), C library/kernel differences)
}

// schedule records scheduling policy, CPU affinity and I/O priority.
func schedule(tid int, t *image.Thread) error {
	a, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		return fmt.Errorf("sched_getattr: %w", err)
	}
	t.Schedule = image.Schedule{
		Policy:   a.Policy,
		Flags:    a.Flags,
		Nice:     niceOf(tid, a.Nice),
		Priority: a.Priority,
		Runtime:  a.Runtime,
		Deadline: a.Deadline,
		Period:   a.Period,
		UtilMin:  a.Util_min,
		UtilMax:  a.Util_max,
	}
	var cpus [128]uint64 // 8192 CPUs, the most that a kernel supports
	n, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETAFFINITY, uintptr(tid), unsafe.Sizeof(cpus), uintptr(unsafe.Pointer(&cpus)))
	if errno != 0 {
		return fmt.Errorf("sched_getaffinity: %w", errno)
	}
	t.Affinity = slices.Clone(cpus[:(n+7)/8])
	const whoProcess = 1 // IOPRIO_WHO_PROCESS
	priority, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_GET, whoProcess, uintptr(tid), 0)
	if errno == 0 {
		t.IOPriority = int(priority)
	}
	return nil
}
