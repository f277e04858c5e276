package coord

import (
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSlowDisk: a thread is in an uninterruptible sleep, because a disk does not answer for more than 2 seconds. The program runs on
// until it does, or is frozen once more: the sleep begins before crak looks at the states of the threads, or after that.
func TestSlowDisk(t *testing.T) {
	for _, at := range []string{"find", "freeze"} {
		t.Run(at, func(t *testing.T) {
			d := newDisk(t)
			p := start(t, true, exec.Command(build(t, "syncs"), filepath.Join(d.dir, "file")))
			sleep := sync.OnceFunc(func() {
				d.freeze()
				p.sleepsIn(unix.SIGUSR1)
				time.AfterFunc(2500*time.Millisecond, d.thaw)
			})
			_, err := Checkpoint(Options{Pid: p.pid(), phase: func(phase string) {
				if phase == at {
					sleep()
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			p.echoes()
		})
	}
}

// sleepsIn sends a signal that sends a thread into an uninterruptible sleep.
func (p *program) sleepsIn(signal unix.Signal) {
	if err := unix.Kill(p.pid(), signal); err != nil {
		p.Error(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !p.hasThread('D'); time.Sleep(time.Millisecond) { // it is no child of ours
		if time.Now().After(deadline) {
			p.Error("no thread sleeps")
			return
		}
	}
}
