package coord

import (
	"os/exec"
	"sync"
	"testing"
)

// TestBesideChecks: a program is checkpointed while others check it all the time, as crak ps does.
func TestBesideChecks(t *testing.T) {
	p := start(t, true, exec.Command("cat"))
	stop := make(chan struct{})
	var checks sync.WaitGroup
	for range 4 {
		checks.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = Check(Options{Pid: p.pid()}) // it may see the socket of the other ones
				}
			}
		})
	}
	for range 4 {
		if _, err := Checkpoint(Options{Pid: p.pid()}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	checks.Wait()
}
