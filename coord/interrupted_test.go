package coord

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"
)

// TestInterruptedFreeze: a checkpoint that is given up does not wait for a program of which one thread does not stop. The other members of a
// group would stand still meanwhile.
func TestInterruptedFreeze(t *testing.T) {
	p := start(t, true, exec.Command(build(t, "blocks")))
	ctx, giveUp := context.WithCancelCause(context.Background())
	var given time.Time
	_, err := Checkpoint(Options{Pid: p.pid(), Context: ctx, phase: func(phase string) {
		if phase == "freeze" {
			time.AfterFunc(200*time.Millisecond, func() { // when the other thread stands still
				given = time.Now()
				giveUp(errors.New("enough of it"))
			})
		}
	}})
	contains(t, errorText(err), "checkpoint given up: enough of it")
	const most = 3 * time.Second // the resident itself gives up after 5 s
	if took := time.Since(given); took > most {
		t.Errorf("the checkpoint ended %v after it was given up", took)
	}
	p.leftAlone()
}
