package restore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// A family is all descendants of crak, except for children that crak had before the restart. crak is their subreaper
// (PR_SET_CHILD_SUBREAPER): a process whose parent ends becomes crak's child. So kill finds every process of the family.
type family struct {
	before    map[int]bool
	subreaper int32 // whether crak was a subreaper before
}

func newFamily() (*family, error) {
	f := &family{before: make(map[int]bool)}
	all, err := children()
	if err != nil {
		return nil, err
	}
	for _, pid := range all {
		f.before[pid] = true
	}
	err = unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&f.subreaper)), 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("subreaper: %w", err)
	}
	return f, nil
}

// release ends this: from now on a process whose parent ends becomes a child of init or of another subreaper.
func (f *family) release() { unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, uintptr(f.subreaper), 0, 0, 0) }

// kill kills and reaps all processes of the family, generation by generation. It signals only crak's own children: their PIDs
// cannot belong to other processes until crak has reaped them. A process that waits for a file system may not end, and the end of a large
// one takes long: kill has a bound of killTimeout. After that it kills none, because crak may have started other processes. Without reap it
// reaps none.
func (f *family) kill(reap bool) {
	var over atomic.Bool
	within(killTimeout, func() {
		for ours := f.children(reap); len(ours) > 0 && !over.Load(); ours = f.children(reap) {
			for _, pid := range ours {
				unix.Kill(pid, unix.SIGKILL)
			}
			for _, pid := range ours {
				if reap {
					wait(pid)
				} else {
					unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT|unix.WALL, nil)
				}
			}
		}
	})
	over.Store(true)
}

// children returns those children of crak that belong to the family, with or without those that have ended.
func (f *family) children(ended bool) []int {
	all, _ := children()
	return slices.DeleteFunc(all, func(pid int) bool {
		stat, err := proc.Read(pid, "stat", proc.Stat)
		return f.before[pid] || !ended && err == nil && stat.HasEnded()
	})
}

// descendants returns the PIDs of the family.
func (f *family) descendants() []int {
	all, _ := children()
	return below(slices.DeleteFunc(all, func(pid int) bool { return f.before[pid] }))
}

// descendantsOf returns a process and its descendants.
func descendantsOf(pid int) []int { return below([]int{pid}) }

// below adds the descendants of processes to them.
func below(all []int) []int {
	for i := 0; i < len(all); i++ {
		if threads, err := proc.Tasks(all[i]); err == nil {
			more, _ := childrenOf(all[i], threads)
			all = append(all, more...)
		}
	}
	return all
}

// children returns the PIDs of crak's children, also of those that have ended. The kernel lists them by the thread that made them,
// and gives them to another thread when that one ends.
func children() (pids []int, err error) {
	for {
		threads, err := proc.Tasks(0)
		if err == nil {
			pids, err = childrenOf(0, threads)
		}
		if err != nil {
			return nil, err
		}
		if now, err := proc.Tasks(0); err == nil && slices.Equal(now, threads) {
			return pids, nil
		}
	}
}

// childrenOf returns the children of a process with these threads; pid 0 is crak.
func childrenOf(pid int, threads []int) (pids []int, err error) {
	for _, tid := range threads {
		text, err := proc.ReadFile(proc.Path(pid, fmt.Sprintf("task/%d/children", tid)))
		if err != nil {
			continue // the thread has ended
		}
		for word := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				return nil, fmt.Errorf("children: %q: %w", word, err)
			}
			pids = append(pids, child)
		}
	}
	return pids, nil
}

// wait waits for a child's end, and reaps it.
func wait(pid int) (status unix.WaitStatus, err error) {
	for {
		if _, err = unix.Wait4(pid, &status, unix.WALL, nil); err != unix.EINTR {
			return status, err
		}
	}
}
