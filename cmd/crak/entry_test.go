package main

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestLimits has crak say in a sentence which limit is too low for it, and start just above.
func TestLimits(t *testing.T) {
	for limit, c := range map[string]struct {
		what string
		need int
	}{"--as": {"RLIMIT_AS", needAddressSpace}, "--data": {"RLIMIT_DATA", needData}} {
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
