package restore

import (
	"strings"
	"testing"
	"time"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
)

// TestShift: no member's clock goes back or far ahead, and without need there is no shift.
func TestShift(t *testing.T) {
	const hour = int64(time.Hour)
	machine := image.Clocks{MonotonicNs: 10 * hour, BoottimeNs: 11 * hour}
	g := handmade.Group(412, me())
	g.Processes = append(g.Processes, handmade.Group(413, me()).Processes...)
	if s := shiftFor(g, machine, 0); s != (clockShift{}) {
		t.Errorf("clocks at 0: %v", s)
	}
	g.Processes[0].Clocks = image.Clocks{MonotonicNs: 11 * hour, BoottimeNs: 11 * hour}
	g.Processes[1].Clocks = image.Clocks{MonotonicNs: 12 * hour, BoottimeNs: 12 * hour}
	if s := shiftFor(g, machine, 0); s != (clockShift{2 * time.Hour, time.Hour}) {
		t.Errorf("on a machine that started later: %v", s)
	}
	g.Processes = g.Processes[:1]
	g.Processes[0].Clocks = image.Clocks{MonotonicNs: 8 * hour, BoottimeNs: 9 * hour}
	if s := shiftFor(g, machine, 2*time.Hour); s != (clockShift{}) {
		t.Errorf("two hours after the checkpoint: %v", s)
	}
	if s := shiftFor(g, machine, time.Hour); s != (clockShift{-time.Hour, -time.Hour}) {
		t.Errorf("an hour after the checkpoint, on a machine that is an hour ahead: %v", s)
	}
}

// TestShiftWithoutPrivilege: if the clocks can only go ahead, the user is told.
func TestShiftWithoutPrivilege(t *testing.T) {
	var told string
	tell := func(text string) { told = text }
	forward := clockShift{-time.Second, -time.Second}
	want, wantTold := forward, ""
	if inOwnThread(forward.enter) != nil {
		want, wantTold = clockShift{}, "CLOCK_MONOTONIC goes ahead by 1s"
	}
	if got := forward.possible(tell); got != want || !strings.HasPrefix(told, wantTold) {
		t.Errorf("%v, and the user is told %q", got, told)
	}
}
