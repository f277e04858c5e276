package coord

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
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

// TestLiveThread: a thread that has been killed is not live, also if it has not run since.
func TestLiveThread(t *testing.T) {
	for _, test := range []struct {
		what string
		stat proc.StatInfo
		live bool
	}{
		{"sleeping", proc.StatInfo{State: 'S'}, true},
		{"with a pending signal", proc.StatInfo{State: 'S', Signals: 1 << (unix.SIGTERM - 1)}, true},
		{"zombie", proc.StatInfo{State: 'Z'}, false},
		{"exiting", proc.StatInfo{State: 'R', Flags: proc.Exiting}, false},
		{"killed", proc.StatInfo{State: 'R', Signals: 1<<(unix.SIGTERM-1) | 1<<(unix.SIGKILL-1)}, false},
	} {
		if live := test.stat.IsLive(); live != test.live {
			t.Errorf("%s: live %v", test.what, live)
		}
	}
}
