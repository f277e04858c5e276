package coord

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTogether: processes that have ended, and that nobody has waited for, share nothing. kcmp(2) says that they do.
func TestTogether(t *testing.T) {
	var members []*member
	for range 2 {
		cmd := exec.Command("cat")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Wait() })
		members = append(members, &member{pid: cmd.Process.Pid, live: cmd.Process.Pid})
		in.Close()
		if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil { // it stays a zombie
			t.Fatal(err)
		}
	}
	if list := together(members); len(list) > 0 {
		t.Errorf("of two that have ended: %v", list)
	}
}
