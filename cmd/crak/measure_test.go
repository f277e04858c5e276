package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// A measurement has the cost and the result of a run of crak.
type measurement struct {
	Memory int64         // maximum resident set size in bytes
	Time   time.Duration // CPU time
	Status int
	Said   string // on stderr
}

const measureVariable = "CRAK_TEST_MEASURE"

// TestMain is also the process between the test and the crak that is measured. A new process inherits the maximum resident set
// size of its parent (ru_maxrss, getrusage(2)), and that of the test is too large.
func TestMain(m *testing.M) {
	if os.Getenv(measureVariable) == "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.Run()
	p := cmd.ProcessState
	json.NewEncoder(os.Stdout).Encode(measurement{p.SysUsage().(*syscall.Rusage).Maxrss << 10, p.UserTime() + p.SystemTime(), p.ExitCode(), said.String()})
	os.Exit(0)
}

// measure runs crak.
func measure(t *testing.T, args ...string) (m measurement) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{binary(t)}, args...)...)
	cmd.Env = append(os.Environ(), measureVariable+"=1")
	text, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}
