package shimtest

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTracer: the resident names the writer as tracer while it obeys the writer, and afterwards the tracer that the program had
// named. The test uses a stub, because the kernel may not have Yama.
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

// TestPrctl: the interposed prctl behaves like that of the C library.
func TestPrctl(t *testing.T) {
	s := start(t, true, "prctl")
	s.await("READY")
	s.await("RESULT 0")
	if got := s.file("comm"); got != "named\n" {
		t.Errorf("comm %q", got)
	}
}
