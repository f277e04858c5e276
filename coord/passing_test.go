package coord

import (
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// vforksAt runs a program of which a thread makes a child by vfork(2) just before the first freeze, after crak has looked at the
// states of the threads. The child lives for some time.
func vforksAt(t *testing.T, life time.Duration) (*program, Options) {
	t.Helper()
	p := start(t, true, exec.Command(build(t, "vforks"), fmt.Sprint(life.Milliseconds())))
	vfork := sync.OnceFunc(func() { p.sleepsIn(unix.SIGUSR1) })
	return p, Options{Pid: p.pid(), phase: func(phase string) {
		if phase == "freeze" {
			vfork()
		}
	}}
}

// hasThread tells whether a thread is in a state of /proc/PID/stat.
func (p *program) hasThread(state byte) bool {
	tids, _ := proc.Tasks(p.pid())
	for _, tid := range tids {
		if s, err := proc.Read(p.pid(), fmt.Sprintf("task/%d/stat", tid), proc.Stat); err == nil && s.State == state {
			return true
		}
	}
	return false
}

// TestVforkPasses: a thread that waits in vfork(2) cannot be frozen. The program runs on until its child has ended.
func TestVforkPasses(t *testing.T) {
	p, options := vforksAt(t, 2500*time.Millisecond)
	if _, err := Checkpoint(options); err != nil {
		t.Fatal(err)
	}
	p.echoes()
}

// TestVforkStays: the child runs longer than crak waits. The program is frozen only once.
func TestVforkStays(t *testing.T) {
	p, options := vforksAt(t, time.Hour)
	freezes, vfork := 0, options.phase
	options.phase = func(phase string) {
		vfork(phase)
		if phase == "freeze" {
			freezes++
		}
	}
	_, err := Checkpoint(options)
	o := only(t, err)
	contains(t, o.Do, "has executed a program or ended")
	if freezes != 1 {
		t.Errorf("%d freezes", freezes)
	}
	p.echoes()
}

// TestPassesOnABusyMachine: an obstacle passes when the program has used some CPU time, and each attempt takes long. It is a connection
// with data that waits for accept(2). Its other end is open, or it is closed and an end of a pipe waits, too.
func TestPassesOnABusyMachine(t *testing.T) {
	for _, arguments := range [][]string{nil, {"closed"}} {
		t.Run(fmt.Sprint(arguments), func(t *testing.T) {
			p := start(t, true, exec.Command(build(t, "accepts"), arguments...))
			accept := sync.OnceFunc(func() {
				if err := unix.Kill(p.pid(), unix.SIGUSR1); err != nil {
					t.Error(err)
				}
			})
			_, err := Checkpoint(Options{Pid: p.pid(), phase: func(phase string) {
				if phase == "capture" { // the program is frozen
					accept()
					time.Sleep(time.Second) // each attempt takes long on purpose
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			p.echoes()
		})
	}
}
