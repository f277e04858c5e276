package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestFewProcesses checks what crak says if its user may have too few threads. crak runs as a user that no other process has, because the
// limit does not hold for root.
func TestFewProcesses(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a user without processes")
	}
	crak := filepath.Join(t.TempDir(), "crak")
	text, err := os.ReadFile(binary(t))
	if err == nil {
		err = os.WriteFile(crak, text, 0o755)
	}
	if err == nil {
		err = errors.Join(os.Chmod(filepath.Dir(crak), 0o755), os.Chmod(filepath.Dir(filepath.Dir(crak)), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	for limit := range needThreads + 4 {
		cmd := exec.Command("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "prlimit", "--nproc="+strconv.Itoa(limit), crak, "--version")
		text, _ := cmd.CombinedOutput()
		status, want := cmd.ProcessState.ExitCode(), 0
		if limit <= needThreads {
			want = exitFailed
		}
		if status != want || want != 0 && !strings.Contains(string(text), "RLIMIT_NPROC") || strings.Contains(string(text), "runtime") {
			t.Errorf("limit of %d: status %d, %s", limit, status, text)
		}
	}
	if text, err := exec.Command("prlimit", "--nproc=1", crak, "--version").CombinedOutput(); err != nil {
		t.Errorf("root: %v, %s", err, text)
	}
}

// TestLimits has crak say in a sentence which limit is too low for it, and start just above.
func TestLimits(t *testing.T) {
	for limit, c := range map[string]struct {
		what string
		need int
	}{"--as": {"RLIMIT_AS", needAddressSpace}, "--data": {"RLIMIT_DATA", needData}, "--stack": {"RLIMIT_STACK", needStack}} {
		for _, bytes := range []int{c.need - 1, c.need / 2, c.need} {
			cmd := exec.Command("prlimit", limit+"="+strconv.Itoa(bytes), binary(t), "--version")
			text, _ := cmd.CombinedOutput()
			status, want := cmd.ProcessState.ExitCode(), 0
			if bytes < c.need {
				want = exitFailed
			}
			if status != want || want != 0 && !strings.Contains(string(text), c.what) || strings.Contains(string(text), "goroutine") {
				t.Errorf("%s of %d: status %d, %s", limit, bytes, status, text)
			}
		}
	}
}

// TestAddressSpace has crak start, or say in a sentence that it cannot, with every limit of its address space.
func TestAddressSpace(t *testing.T) {
	for limit := 800_000; limit < 1_600_000; limit += 25_000 {
		bytes := limit << 10
		cmd := exec.Command("prlimit", "--as="+strconv.Itoa(bytes), binary(t), "--version")
		text, _ := cmd.CombinedOutput()
		want := 0
		if bytes < needAddressSpace || bytes >= badAddressSpace && bytes < goodAddressSpace {
			want = exitFailed
		}
		if status := cmd.ProcessState.ExitCode(); status != want || want != 0 && !strings.Contains(string(text), "RLIMIT_AS") {
			t.Errorf("%d KiB: status %d, %.300s", limit, status, text)
		}
	}
}

// TestFewDescriptors has crak say in a sentence that too few open files are allowed. A soft limit does not matter, and stays.
func TestFewDescriptors(t *testing.T) {
	for _, limit := range []string{"0", "3", "20", "34", "34:34", "64", "20:64"} {
		cmd := exec.Command("prlimit", "--nofile="+limit, binary(t), "run", "--", "/bin/sh", "-c", "ulimit -n")
		cmd.Env = []string{"LD_PRELOAD="}
		text, _ := cmd.CombinedOutput()
		soft, hard, _ := strings.Cut(limit, ":")
		status, want, say := cmd.ProcessState.ExitCode(), 0, soft+"\n"
		if hard == "" && soft != "64" || hard == "34" {
			want, say = exitFailed, "crak: too few open files are allowed (RLIMIT_NOFILE)"
		}
		if status != want || !strings.Contains(string(text), say) || strings.Contains(string(text), "runtime") {
			t.Errorf("limit of %s: status %d, %s", limit, status, text)
		}
	}
}
