package shimtest

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTracer: the writer is named as tracer while it is obeyed, and then whoever the program had named. This kernel may not have
// Yama, so a stub stands in for it.
func TestTracer(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tracer")
	out, err := exec.Command("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden",
		"-I..", "-I../../internal/abi", "-o", program, "testdata/tracer.c").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(program).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPrctl: what is interposed does what the C library does.
func TestPrctl(t *testing.T) {
	s := start(t, true, "prctl")
	s.await("READY")
	s.await("RESULT 0")
	if got := s.file("comm"); got != "named\n" {
		t.Errorf("comm %q", got)
	}
}
