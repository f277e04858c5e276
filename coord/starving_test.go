package coord

import (
	"os/exec"
	"testing"
	"time"
)

// TestStarves: only a thread that could run, and had almost no processor, starves.
func TestStarves(t *testing.T) {
	child := func(script string) int {
		cmd := exec.Command("sh", "-c", script)
		in, err := cmd.StdinPipe()
		out, failed := cmd.StdoutPipe()
		if err != nil || failed != nil || cmd.Start() != nil {
			t.Fatal(err, failed)
		}
		t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
		out.Read(make([]byte, 1))
		return cmd.Process.Pid
	}
	busy, idle := child("echo; while :; do :; done"), child("echo; read line")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // the shell is about to read
		if _, runnable := (processorTime{pid: idle, tid: idle}).used(); !runnable || time.Now().After(deadline) {
			break
		}
	}
	for _, c := range []struct {
		name    string
		pid     int
		waited  time.Duration
		used    uint64 // ticks
		starves bool
	}{
		{"no processor", busy, 10 * time.Second, 0, true},
		{"a whole processor", busy, 10 * time.Second, 1000, false},
		{"for too long", busy, 2 * timeoutStarving, 0, false},
		{"asleep", idle, 10 * time.Second, 0, false},
		{"ended", 1 << 30, 10 * time.Second, 0, false},
	} {
		p := processorTime{pid: c.pid, tid: c.pid, at: time.Now().Add(-c.waited)}
		now, _ := p.used()
		p.ticks = now - c.used
		if p.starves() != c.starves {
			t.Errorf("%s: starves is %v", c.name, !c.starves)
		}
	}
}
