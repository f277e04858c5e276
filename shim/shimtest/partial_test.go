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

// begin starts a program with the library in a directory, and kills it after some time.
func begin(t *testing.T, program, kind, dir string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
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
	late := time.AfterFunc(testTimeout, func() { cmd.Process.Kill() })
	t.Cleanup(func() { late.Stop() })
	return cmd, bufio.NewReader(pipe)
}

// TestPartial: a blocked call on a socket or a terminal that has transferred a part of its data, and is interrupted by queries
// and triggers, transfers the rest. (partial.txtar has pipes, and restarts.)
func TestPartial(t *testing.T) {
	program := compile(t, "../../testdata/programs/partial.c")
	for _, kind := range []string{"write", "socket", "send", "sendfile", "waitall", "terminal"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd, lines := begin(t, program, kind, dir)
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
					// A query interrupts the call.
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
			cmd, lines := begin(t, program, kind, t.TempDir())
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
