package lab

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReaped waits for a process that nobody reaps, but not for another one that has the PID now.
func TestReaped(t *testing.T) {
	p := &subject{name: "app"}
	if err := p.reaped(map[int]bool{os.Getpid(): true}, time.Now()); err != nil {
		t.Errorf("the PID of a process that runs: %v", err)
	}
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	pid := cmd.Process.Pid
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.reaped(map[int]bool{pid: true}, time.Now()); err == nil {
		t.Error("a zombie counts as reaped")
	}
}
