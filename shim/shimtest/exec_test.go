package shimtest

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runExec runs testdata/exec.c with the library.
func runExec(t *testing.T, mode string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "exec")
	out, err := exec.Command("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program,
		"testdata/exec.c").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, mode)
	cmd.Env = []string{"LD_PRELOAD=" + library(t), "PATH=/usr/bin:/bin"}
	cmd.WaitDelay = time.Second
	out, err = cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

const freezeBit = 1 << (33 - 1)

// TestExecIgnores: the freeze signal cannot kill an executed program, with every function that executes a program.
func TestExecIgnores(t *testing.T) {
	const functions, ways = 9, 4
	out := runExec(t, "each")
	if n := strings.Count(out, "SigIgn:"); n != functions*ways {
		t.Fatalf("%d programs have run:\n%s", n, out)
	}
	for line := range strings.Lines(out) {
		if signalSet(t, line, "SigIgn")&freezeBit == 0 {
			t.Errorf("the freeze signal is not ignored: %s", line)
		}
	}
}

// TestExecOften: a child of vfork does not take the lock of its parent, if that is a forked child itself. The next execution would
// wait a second for the lock.
func TestExecOften(t *testing.T) {
	if out := runExec(t, "often"); out != "DONE\n" {
		t.Errorf("%s", out)
	}
}

// TestExecFails: a failed attempt to execute a program leaves no change behind. A thread that changes its IDs at the same time
// reaches the other threads.
func TestExecFails(t *testing.T) {
	done, status, _ := strings.Cut(runExec(t, "fails"), "\n")
	if done != "DONE" || signalSet(t, status, "SigCgt")&freezeBit == 0 {
		t.Errorf("%s\n%s", done, status)
	}
}
