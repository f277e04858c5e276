package resident

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// TestEndsSlowly: a frozen process has closed the socket because it ends, and its end takes long: it is process 1 of a PID namespace, and
// waits for another process there. That is not the end of the freeze.
func TestEndsSlowly(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	first := exec.Command("bash", "-c", "sleep 1000 3>&- & echo; exec cat")
	first.ExtraFiles = []*os.File{os.NewFile(uintptr(pair[1]), "theirs")}
	first.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID}
	in, err := first.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Skipf("a PID namespace: %v", err)
	}
	first.ExtraFiles[0].Close()
	pid := first.Process.Pid
	defer first.Wait()
	defer first.Process.Kill()
	if _, err := out.Read(make([]byte, 1)); err != nil { // its child exists
		t.Fatal(err)
	}
	release, err := holdChild(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	first.Process.Kill()
	c := &Conn{Pid: pid, fd: pair[0], file: os.NewFile(uintptr(pair[0]), "ours"), frozen: true, timeout: 10 * time.Second}
	defer c.Close()
	if _, err := c.message(); err == nil || errors.Is(err, ErrFreezeEnded) {
		t.Errorf("the process ends: %v", err)
	}
	if s, err := proc.Read(pid, "stat", proc.Stat); err != nil || s.HasEnded() {
		t.Errorf("the process has ended already: %+v, %v", s, err)
	}
}

// holdChild stops the child of a process when it is about to end, until release is called.
func holdChild(parent int) (release func(), err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err != nil {
		return nil, err
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, err
	}
	held, end, ended := make(chan error), make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		runtime.LockOSThread() // the tracer is one thread
		_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(child), 0, unix.PTRACE_O_TRACEEXIT, 0, 0)
		if errno != 0 {
			held <- errno
			return
		}
		held <- nil
		<-end
		// The kernel kills it a moment after it has closed the socket, and then it stops.
		// PTRACE_DETACH fails until then, and a wait for the stop would have no bound.
		for deadline := time.Now().Add(10 * time.Second); unix.PtraceDetach(child) != nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		}
	}()
	return func() { close(end); <-ended }, <-held
}
