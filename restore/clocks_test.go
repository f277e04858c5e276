package restore

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
)

// TestShift: no member's clock goes back, and without need there is no shift.
func TestShift(t *testing.T) {
	g := handmade.Group(412, me())
	g.Processes = append(g.Processes, handmade.Group(413, me()).Processes...)
	if s := shiftFor(g); s != (clockShift{}) {
		t.Errorf("clocks at 0: %v", s)
	}
	monotonic, _ := now(unix.CLOCK_MONOTONIC)
	boottime, _ := now(unix.CLOCK_BOOTTIME)
	g.Processes[0].Clocks = image.Clocks{MonotonicNs: monotonic + int64(time.Hour), BoottimeNs: boottime}
	g.Processes[1].Clocks = image.Clocks{MonotonicNs: monotonic + int64(2*time.Hour), BoottimeNs: boottime + int64(time.Hour)}
	s := shiftFor(g)
	if s.monotonic < 119*time.Minute || s.monotonic > 2*time.Hour || s.boottime < 59*time.Minute || s.boottime > time.Hour {
		t.Errorf("%v", s)
	}
}
