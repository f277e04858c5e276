package restore

import (
	"os/exec"
	"testing"
	"time"
)

// TestTakenByExiting: a process that was killed frees its memory, which takes a second for each GiB on some machines. Its PID is not taken:
// crak waits for its end.
func TestTakenByExiting(t *testing.T) {
	large := exec.Command("tail", "-c", "100M") // keeps what it reads
	in, err := large.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := large.Start(); err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 1<<20)
	for range 64 {
		if _, err := in.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error)
	large.Process.Kill()
	go func() { ended <- large.Wait() }()
	deadline := time.Now().Add(exitTimeout)
	if isTaken(large.Process.Pid, &deadline) {
		t.Error("taken by a process that is ending")
	}
	<-ended
}
