package dump

import (
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// TestTracedStops: a process that is stopped while a thread of it is traced for an instant stays stopped.
func TestTracedStops(t *testing.T) {
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleep.Wait()
	defer sleep.Process.Kill()
	pid := sleep.Process.Pid
	for range 3000 {
		var tracing sync.WaitGroup
		tracing.Go(func() {
			if err := traced(pid, func() error { return nil }); err != nil {
				t.Errorf("trace: %v", err)
			}
		})
		unix.Kill(pid, unix.SIGSTOP)
		tracing.Wait()
		for deadline := time.Now().Add(10 * time.Second); ; {
			stat, err := proc.Read(pid, "stat", proc.Stat)
			if err == nil && stat.State == 'T' {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("state %c, %v", stat.State, err)
			}
		}
		unix.Kill(pid, unix.SIGCONT)
	}
}
