package coord

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// TestAsOwnerInherits: root's crak that has become the owner of an image, and the program that it restarts, have no
// environment, descriptor or working directory of root's: that user may trace both.
func TestAsOwnerInherits(t *testing.T) {
	a := newArena(t)
	p := a.start(alice, exec.Command("cat"))
	image, stderr := a.crak("checkpoint", "--kill", strconv.Itoa(p.pid()))
	if image == "" {
		t.Fatalf("no image: %s", stderr)
	}
	private := a.path("root", "private")
	a.must(os.WriteFile(private, []byte("of root"), 0o600))
	secret, err := os.Open(private)
	a.must(err)
	defer secret.Close()
	status, statusEnd, err := os.Pipe()
	a.must(err)
	defer status.Close()
	input, inputEnd, err := os.Pipe()
	a.must(err)
	defer inputEnd.Close()
	path, err := filepath.Abs("../build/crak")
	a.must(err)
	cmd := exec.Command(path, "restart", "--status-fd=4", "--as-owner", strings.TrimSpace(image))
	cmd.Dir = a.path("root")
	cmd.Env = []string{"PASSWORD=of root"}
	cmd.Stdin, cmd.Stderr = input, os.Stderr
	cmd.ExtraFiles = []*os.File{secret, statusEnd} // 3 and 4
	a.must(cmd.Start())
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	input.Close()
	statusEnd.Close()
	line, err := bufio.NewReader(status).ReadString('\n')
	if err != nil {
		t.Fatalf("not restarted: %v", err)
	}
	program, err := strconv.Atoi(strings.TrimSpace(line))
	a.must(err)
	processes := append(familyOf(cmd.Process.Pid), cmd.Process.Pid)
	if len(processes) < 2 || !slices.Contains(processes, program) {
		t.Fatalf("program %d is not below crak: %v", program, processes)
	}
	for _, pid := range processes {
		text, err := os.ReadFile(proc.Path(pid, "environ"))
		cwd, cwdErr := os.Readlink(proc.Path(pid, "cwd"))
		fds, fdsErr := proc.Fds(pid)
		if hasEnded(pid) { // the keeper of TCP connections ends about now
			continue
		}
		if err != nil || strings.Contains(string(text), "PASSWORD") {
			t.Errorf("pid %d has root's environment: %q, %v", pid, text, err)
		}
		if cwdErr != nil || cwd == cmd.Dir {
			t.Errorf("pid %d is in root's directory: %q, %v", pid, cwd, cwdErr)
		}
		a.must(fdsErr)
		for _, fd := range fds {
			if target, _ := os.Readlink(proc.Path(pid, fmt.Sprintf("fd/%d", fd))); target == private {
				t.Errorf("pid %d has root's file as descriptor %d", pid, fd)
			}
		}
	}
	a.must(unix.Kill(program, unix.SIGKILL))
}
