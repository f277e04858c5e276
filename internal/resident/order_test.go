package resident

import (
	"os/exec"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/busypoll"
)

// TestOrderArrives: the kernel copies every element of an order. It passes on only the first 48 bytes of a siginfo. The order is
// read from the queue of a stopped process.
func TestOrderArrives(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	pid := cmd.Process.Pid
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("pid %d does not stop: status %#x, %v", pid, status, err)
	}
	busypoll.Share(64)
	defer busypoll.Share(0)
	l, err := Listen(new(Key))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Order(pid, pid, abi.OrderQuery); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // it is the tracer
	defer runtime.UnlockOSThread()
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	var info [32]int32
	args := struct {
		offset uint64
		flags  uint32
		count  int32
	}{count: 1}
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_PEEKSIGINFO, uintptr(pid), uintptr(unsafe.Pointer(&args)),
		uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || n != 1 {
		t.Fatalf("PTRACE_PEEKSIGINFO: %d signals, %v", n, errno)
	}
	for element, want := range map[int]int32{1: abi.OrderQuery, 6: int32(l.name), 7: int32(l.name >> 32),
		abi.OrderMembers: 64} {
		if info[element] != want {
			t.Errorf("element %d of the siginfo is %#x, not %#x", element, info[element], want)
		}
	}
}
