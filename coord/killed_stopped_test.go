package coord

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/tracer"
)

// TestKilledAtStopped kills the writer while it traces a stopped program of 8 threads, some of which block signals, and for which a
// signal is pending. The program stays stopped. When it is continued, each thread blocks the signals that it blocked before, the
// pending signal has arrived, and the next checkpoint succeeds.
func TestKilledAtStopped(t *testing.T) {
	const goOnAtCall, goOn = 24, 7 // PTRACE_SYSCALL, PTRACE_CONT
	for name, place := range map[string]struct {
		phase string
		call  string
	}{
		"query, before the thread runs":            {"query", fmt.Sprintf("%d,0,%d", unix.SYS_PTRACE, goOnAtCall)},
		"query, before the freeze signal arrives":  {"query", fmt.Sprintf("%d,3,%d", unix.SYS_PTRACE, abi.FreezeSignal)},
		"query, in the handler":                    {"query", fmt.Sprintf("%d,3,%d", unix.SYS_ACCEPT4, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)},
		"freeze, before a thread runs":             {"freeze", fmt.Sprintf("%d,0,%d", unix.SYS_PTRACE, goOn)},
		"freeze, before the freeze signal arrives": {"freeze", fmt.Sprintf("%d,3,%d", unix.SYS_PTRACE, abi.FreezeSignal)},
		"freeze, in the handler":                   {"freeze", fmt.Sprintf("%d,3,%d", unix.SYS_ACCEPT4, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)},
		"frozen":                                   {"capture", ""},
		"the end":                                  {"resume", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, true, exec.Command(build(t, "masks")))
			before := masksOf(t, p.pid())
			for ; !haveBegun(before); before = masksOf(t, p.pid()) {
				time.Sleep(time.Millisecond) // no event tells that all threads wait
			}
			p.stop(unix.SIGSTOP)
			unix.Kill(p.pid(), unix.SIGUSR1)
			p.writerKilled("auto,"+place.phase, place.call)
			p.unnoticed()
			// The next checkpoint succeeds while the program is stopped, unless the program is stopped inside the handler.
			if _, err := Checkpoint(Options{Pid: p.pid()}); err != nil {
				contains(t, only(t, err).Why, tracer.ErrHandling.Error())
			}
			p.unnoticed()
			unix.Kill(p.pid(), unix.SIGCONT)
			p.echoes()
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // no event tells that a handler has ended
				after := masksOf(t, p.pid())
				if fmt.Sprint(before) == fmt.Sprint(after) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("blocked and pending signals: %s", cmp.Diff(before, after))
				}
			}
			if _, err := Checkpoint(Options{Pid: p.pid()}); err != nil {
				t.Error(err)
			}
			p.ends()
		})
	}
}

// haveBegun tells whether all threads of masks.c wait: the last one then blocks signal 64. The C library blocks the freeze signal
// at the start of a thread.
func haveBegun(masks map[int][2]uint64) (have bool) {
	for _, now := range masks {
		if now[0]&(1<<(abi.FreezeSignal-1)) != 0 {
			return false
		}
		have = have || now[0]&(1<<63) != 0
	}
	return have
}

// masksOf are the blocked signals of each thread of a process, and the pending signals of the process.
func masksOf(t *testing.T, pid int) map[int][2]uint64 {
	t.Helper()
	tids, err := proc.Tasks(pid)
	if err != nil {
		t.Fatal(err)
	}
	masks := make(map[int][2]uint64)
	for _, tid := range tids {
		s, err := proc.Read(pid, fmt.Sprintf("task/%d/status", tid), proc.Status)
		if err != nil {
			t.Fatal(err)
		}
		masks[tid] = [2]uint64{s.SigBlk, s.SigPnd | s.ShdPnd}
	}
	return masks
}
