package coord

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// TestWaitUnderFreeze: a wait that begins after the survey is found in the frame of the parked thread.
func TestWaitUnderFreeze(t *testing.T) {
	for call, text := range map[int]string{
		unix.SYS_WAIT4:         "if (my $pid = fork) { waitpid $pid, 0 } else { sleep 1000 }",
		unix.SYS_RT_SIGSUSPEND: "use POSIX; $SIG{CHLD} = sub {}; if (fork) { sigsuspend(POSIX::SigSet->new) } else { sleep 1000 }",
	} {
		p := begin(t, true, exec.Command("perl", "-e", text))
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // /proc has no event for this
			if s, err := proc.Read(p.pid(), "syscall", proc.Syscall); err == nil && s.Number == call {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: it does not wait", text)
			}
		}
		child := familyOf(p.pid())[0]
		c := newCheckpoint(Options{Pid: p.pid(), Only: true})
		for _, phase := range []func() error{c.find, c.lockAll, c.queryAll, c.planTwin} {
			if err := phase(); err != nil {
				t.Fatal(err)
			}
		}
		_, err := c.attempt()
		c.close()
		list, _ := errors.AsType[obstacle.List](err)
		if len(list) != 1 || !strings.HasPrefix(list[0].What, "waits for pid ") {
			t.Errorf("%s: %v", text, err)
		}
		if result, err := Checkpoint(Options{Pid: p.pid()}); err != nil {
			t.Errorf("with its child: %v, %v", result, err)
		}
		unix.Kill(child, unix.SIGKILL)
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
}
