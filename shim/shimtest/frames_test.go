package shimtest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInterrupted checks which system call the resident finds from the code before the instruction and the registers.
func TestInterrupted(t *testing.T) {
	program := filepath.Join(t.TempDir(), "frames")
	args := []string{"-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-I..", "-I../../internal/abi", "-o", program,
		"testdata/frames.c"}
	for _, source := range []string{"frame_amd64.c", "interrupted_amd64.c", "interruptible_amd64.c", "memory.c", "queue.c", "repeat_amd64.c", "repeat_amd64.S",
		"rest_amd64.c", "timeout.c"} {
		args = append(args, "../"+source)
	}
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const syscall = "0f05"
	tests := []struct{ name, frame, want string }{
		{"mov $pause,%eax", "b822000000" + syscall, "34"},
		{"no system call", "b8220000000f04", "-1"},
		{"close", "b803000000" + syscall, "-1"},
		{"unlink", "b857000000" + syscall, "-1"},
		{"read", "b800000000" + syscall, "0"},
		{"xor %eax,%eax", "90909090" + "31c0" + syscall, "0"},
		{"xor %r8d,%r8d", "90909045" + "31c0" + syscall, "-1"},
		{"xor %eax,%r8d", "90909041" + "31c0" + syscall, "-1"},
		{"xor %r8d,%eax", "90909044" + "31c0" + syscall, "-1"},
		// 41 b8 is mov $34,%r8d. The instruction before it sets eax.
		{"mov $34,%r8d", "r8=34 b817000000" + "41b822000000" + syscall, "23"},
		{"mov $34,%r8d, of what nobody knows", "r8=34 41b822000000" + syscall, "-1"},
		{"41 as the end of an instruction", "r8=35 b841b822000000" + syscall, "34"},
		{"mov %ebx,%eax", "rbx=34 90909089d8" + syscall, "34"},
		{"mov %r12d,%eax", "rbx=5 r12=34 9044" + "89e0" + syscall, "34"},
		{"mov %r14,%rax", "rsi=-1 r14=34 904c89f0" + syscall, "34"},
		{"mov %ebx,%r8d", "rbx=23 r8=23 b822000000" + "4189d8" + syscall, "34"},
		{"mov %rbx,%rax", "rbx=34 904889d8" + syscall, "34"},
		{"an instruction in between", "b822000000" + "31ff" + syscall, "34"},
		{"close, with an instruction in between", "b803000000" + "31ff" + syscall, "-1"},
		// After SIGCONT the kernel lets a thread call restart_syscall(2), which fails once a handler has run.
		{"restart_syscall", "rax=219 b822000000" + syscall, "34"},
		{"restart_syscall of what nobody knows", "rax=219 909090909090" + syscall, "219"},
	}
	for _, test := range tests {
		out, err := exec.Command(program, strings.Fields(test.frame)...).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != test.want {
			t.Errorf("%s (%s): %q, %v; want %s", test.name, test.frame, got, err, test.want)
		}
	}
}
