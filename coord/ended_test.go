package coord

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/resident"
)

// TestEndedBeforeOrder: a process that has ended, and for which nobody waits, is not waited for. Its parent may be frozen.
func TestEndedBeforeOrder(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	c := newCheckpoint(Options{Pid: pid, Context: context.Background()})
	c.group = new(Rights)
	m, err := c.newMember(pid)
	if err != nil {
		t.Fatal(err)
	}
	m.program = programOf(pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil { // it stays a zombie
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	if ready, err := m.isReady(); ready || !errors.Is(err, resident.ErrEnded) {
		t.Errorf("a zombie: ready %v, %v", ready, err)
	}
}
