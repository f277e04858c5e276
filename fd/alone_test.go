package fd_test

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forbidKcmp makes kcmp(2) fail with EPERM in this thread, as the seccomp filters of containers do. The thread ends with the test.
func forbidKcmp(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	must(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_KCMP, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		t.Fatalf("seccomp: %v", errno)
	}
}

// TestWithoutKcmp checks that a member's own dups are found, that descriptions which look different are told apart, and that one
// which may be that of another member is refused.
func TestWithoutKcmp(t *testing.T) {
	f, other := temporary(t, "file"), temporary(t, "other")
	a, b := fork(t, f), fork(t, f, other)
	dup := a.call(unix.SYS_DUP, inheritedFrom)
	again := a.open(f.Name(), unix.O_RDONLY)
	forbidKcmp(t)
	p := capturedGroup(t, a, b)
	one := p.at(t, 0, inheritedFrom)
	if p.at(t, 0, dup).ID != one.ID || p.at(t, 0, again).ID == one.ID {
		t.Errorf("descriptions of the first member: %v", p.numbers[0])
	}
	p.at(t, 1, inheritedFrom+1)
	if len(p.Obstacles) != 1 || p.Obstacles[0].Pid != b.pid || !strings.Contains(p.Obstacles[0].Error(), "refuses kcmp(2)") {
		t.Errorf("obstacles: %v", p.Obstacles)
	}
}
