package shimtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"crak.dev/crak/coord"
)

func compile(t *testing.T, source string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	out, err := exec.Command("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program, source).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestPartial: a blocked call on a socket or a terminal that has transferred a part of its data, and is interrupted by queries
// and triggers, transfers the rest. (partial.txtar has pipes, and restarts.)
func TestPartial(t *testing.T) {
	program := compile(t, "../../testdata/programs/partial.c")
	for _, kind := range []string{"write", "socket", "send", "sendfile", "waitall", "terminal"} {
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

// TestShort: these calls return what they have transferred, as README.md says.
func TestShort(t *testing.T) {
	program := compile(t, "testdata/short.c")
	for _, kind := range []string{"writev", "sendmsg", "splice", "recvmsg"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(program, kind)
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
			if line, err := lines.ReadString('\n'); line != "READY\n" {
				t.Fatalf("%q, %v", line, err)
			}
			coord.Check(coord.Options{Pid: cmd.Process.Pid})
			line, _ := lines.ReadString('\n')
			var n int
			if _, err := fmt.Sscanf(line, "RETURNED %d", &n); err != nil || n <= 0 || n >= 1<<20 {
				t.Errorf("%q", line)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}
