package shimtest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"crak.dev/crak/coord"
)

// TestPartial: a blocked call on a socket or a terminal that has transferred a part of its data, and is interrupted by queries
// and triggers, transfers the rest. (partial.txtar has pipes, and restarts.)
func TestPartial(t *testing.T) {
	program := filepath.Join(t.TempDir(), "partial")
	out, err := exec.Command("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program,
		"../../testdata/programs/partial.c").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, kind := range []string{"write", "socket", "send", "waitall", "terminal"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := exec.Command(program, kind)
			cmd.Dir = dir
			cmd.Env = []string{"LD_PRELOAD=" + library(t), "CRAK_DIR=" + t.TempDir()}
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer time.AfterFunc(patience, func() { cmd.Process.Kill() }).Stop()
			lines := bufio.NewReader(pipe)
			await := func(want string) {
				t.Helper()
				if line, err := lines.ReadString('\n'); line != want+"\n" {
					t.Fatalf("%q, %v; want %s", line, err, want)
				}
			}
			create := func(name string) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			await("READY")
			for step := 1; step <= 3; step++ {
				for range 2 {
					// Sockets and terminals are obstacles, but Check interrupts the call anyway.
					coord.Check(coord.Options{Pid: cmd.Process.Pid})
				}
				create("step." + strconv.Itoa(step))
				await("STEPPED")
			}
			create("go")
			await("PASS")
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}
