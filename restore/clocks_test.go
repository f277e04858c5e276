package restore

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
)

// TestShift: no member's clock goes back or far ahead, and without need there is no shift.
func TestShift(t *testing.T) {
	g := handmade.Group(412, me())
	g.Processes = append(g.Processes, handmade.Group(413, me()).Processes...)
	if s := shiftFor(g, 0); s != (clockShift{}) {
		t.Errorf("clocks at 0: %v", s)
	}
	monotonic, _ := now(unix.CLOCK_MONOTONIC)
	boottime, _ := now(unix.CLOCK_BOOTTIME)
	g.Processes[0].Clocks = image.Clocks{MonotonicNs: monotonic + int64(time.Hour), BoottimeNs: boottime}
	g.Processes[1].Clocks = image.Clocks{MonotonicNs: monotonic + int64(2*time.Hour), BoottimeNs: boottime + int64(time.Hour)}
	s := shiftFor(g, 0)
	if s.monotonic < 119*time.Minute || s.monotonic > 2*time.Hour || s.boottime < 59*time.Minute || s.boottime > time.Hour {
		t.Errorf("%v", s)
	}
	g.Processes = g.Processes[:1]
	g.Processes[0].Clocks = image.Clocks{MonotonicNs: monotonic - int64(2*time.Hour), BoottimeNs: boottime - int64(2*time.Hour)}
	if s := shiftFor(g, 2*time.Hour); s != (clockShift{}) {
		t.Errorf("two hours after the checkpoint: %v", s)
	}
	s = shiftFor(g, time.Hour)
	if hour := (s.monotonic + s.boottime) / -2; hour < time.Hour || hour > time.Hour+time.Minute {
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
