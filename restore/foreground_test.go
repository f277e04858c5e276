package restore

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const followVariable = "CRAK_TEST_FOLLOW"

// followStop is a crak that hears that a process, its parent, has stopped, and then that it has ended. But the process runs.
func followStop() int {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return 2
	}
	f := newForeground(os.NewFile(uintptr(master), "terminal"), false)
	f.pid = os.Getppid()
	changes := make(chan change, 2)
	changes <- change(uint32(unix.SIGSTOP)<<8 | 0x7f)
	changes <- change(42 << 8)
	status, err := f.follow(changes)
	if err != nil {
		return 3
	}
	return status.ExitStatus()
}

// TestFollowContinued: a program that has stopped and was continued at once does not stop crak. Nobody would continue crak.
func TestFollowContinued(t *testing.T) {
	crak := exec.Command(os.Args[0])
	crak.Env = append(os.Environ(), followVariable+"=1")
	crak.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := crak.Start(); err != nil {
		t.Fatal(err)
	}
	defer crak.Wait()
	defer crak.Process.Kill()
	var status unix.WaitStatus
	if _, err := unix.Wait4(crak.Process.Pid, &status, unix.WUNTRACED, nil); err != nil {
		t.Fatal(err)
	}
	if !status.Exited() || status.ExitStatus() != 42 {
		t.Errorf("crak: status %#x, want exit status 42", status)
	}
}
