package restore

import (
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKillEndsInTime: a process of a restart takes long to end. kill gives up the wait for it, and does not kill processes that crak starts
// later, such as the crak that tries the restart again in a new PID namespace.
func TestKillEndsInTime(t *testing.T) {
	was := killTimeout
	killTimeout = 50 * time.Millisecond
	t.Cleanup(func() { killTimeout = was })
	f, err := newFamily()
	if err != nil {
		t.Fatal(err)
	}
	defer f.release()
	slow := exec.Command("sleep", "1000")
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	held, end, ended := make(chan error), make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		runtime.LockOSThread() // the tracer is one thread
		held <- seizeAtExit(slow.Process.Pid)
		<-end
		unix.PtraceDetach(slow.Process.Pid)
	}()
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	f.kill(true)
	later := exec.Command("sleep", "1000")
	if err := later.Start(); err != nil {
		t.Fatal(err)
	}
	defer later.Wait()
	defer later.Process.Kill()
	close(end)
	<-ended
	noProcess(t, slow.Process.Pid)
	time.Sleep(50 * time.Millisecond) // it must not be killed; nothing tells that
	if !isAlive(later.Process.Pid) {
		t.Error("killed a process that is not of the restart")
	}
}

func seizeAtExit(pid int) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, unix.PTRACE_O_TRACEEXIT, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// noProcess waits until a process has ended and was reaped.
func noProcess(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); unix.Kill(pid, 0) != unix.ESRCH; time.Sleep(time.Millisecond) { // another goroutine reaps it
		if time.Now().After(deadline) {
			t.Fatalf("pid %d: still there", pid)
		}
	}
}
