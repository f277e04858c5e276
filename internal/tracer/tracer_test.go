package tracer

import (
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// aStopped starts a child of this process, and stops it.
func aStopped(t *testing.T) int {
	t.Helper()
	sleep := exec.Command("sleep", "100")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		sleep.Process.Kill()
		sleep.Wait()
	})
	pid := sleep.Process.Pid
	unix.Kill(pid, unix.SIGSTOP)
	if !stops(pid) {
		t.Fatalf("pid %d does not stop", pid)
	}
	return pid
}

// stops waits until a process is stopped. It polls: a wait would take the notice that is for the parent.
func stops(pid int) bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if stat, err := proc.Read(pid, "stat", proc.Stat); err == nil && stat.State == 'T' {
			return true
		}
	}
	return false
}

// TestKilled: a process is killed while it is traced. Its parent, which is this process, gets its status.
func TestKilled(t *testing.T) {
	pid := aStopped(t)
	h, err := Stopped(pid)
	if err != nil {
		t.Fatal(err)
	}
	unix.Kill(pid, unix.SIGKILL)
	h.Close()
	var status unix.WaitStatus
	if who, err := unix.Wait4(pid, &status, 0, nil); who != pid || err != nil || !status.Signaled() || status.Signal() != unix.SIGKILL {
		t.Errorf("wait: %d, %v, %#x", who, err, int(status))
	}
}

// TestMany: tracers that trace at the same time take no events from each other, nor from the parent.
func TestMany(t *testing.T) {
	var all sync.WaitGroup
	for range 8 {
		pid := aStopped(t)
		all.Go(func() {
			for range 10 {
				h, err := Stopped(pid)
				if err != nil {
					t.Errorf("pid %d: %v", pid, err)
					return
				}
				if h.By() != int(unix.SIGSTOP) {
					t.Errorf("pid %d: stopped by %d", pid, h.By())
				}
				h.Close()
			}
			if !stops(pid) {
				t.Errorf("pid %d is not stopped any more", pid)
			}
		})
	}
	all.Wait()
}
