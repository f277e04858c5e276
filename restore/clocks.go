package restore

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// A clockShift is how far the members' clocks are ahead of this machine's. These clocks count from the start of a machine. On a
// machine that started later they would go back, and a thread that sleeps until a certain time would sleep for days.
type clockShift struct{ monotonic, boottime time.Duration }

// shiftFor returns the shift that is enough for every member.
func shiftFor(g *image.Group) (s clockShift) {
	behind := func(clock int32, want int64) time.Duration {
		ns, _ := now(clock)
		return time.Duration(max(want-ns, 0))
	}
	for i := range g.Processes {
		c := &g.Processes[i].Clocks
		s.monotonic = max(s.monotonic, behind(unix.CLOCK_MONOTONIC, c.MonotonicNs))
		s.boottime = max(s.boottime, behind(unix.CLOCK_BOOTTIME, c.BoottimeNs))
	}
	return s
}

// now is the time of a clock as the members will see it.
func (s clockShift) now(clock int32) (ns int64, ok bool) {
	ns, ok = now(clock)
	switch clock {
	case unix.CLOCK_MONOTONIC:
		ns += int64(s.monotonic)
	case unix.CLOCK_BOOTTIME, unix.CLOCK_BOOTTIME_ALARM:
		ns += int64(s.boottime)
	}
	return ns, ok
}

// ahead calls do in a thread whose children are in a time namespace with these clocks (time_namespaces(7), Linux 5.6).
func (s clockShift) ahead(do func() error) error {
	if s == (clockShift{}) {
		return do()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and so does its namespace
		err := s.enter()
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

func (s clockShift) enter() error {
	err := unix.Unshare(unix.CLONE_NEWTIME)
	if err == nil {
		part := func(d time.Duration) (int64, int64) { return int64(d / time.Second), int64(d % time.Second) }
		ms, mn := part(s.monotonic)
		bs, bn := part(s.boottime)
		offsets := fmt.Sprintf("monotonic %d %d\nboottime %d %d\n", ms, mn, bs, bn)
		err = os.WriteFile(fmt.Sprintf("/proc/%d/timens_offsets", unix.Gettid()), []byte(offsets), 0)
	}
	if err != nil {
		return obstacle.Obstacle{What: "CLOCK_MONOTONIC", Why: fmt.Sprintf("%v behind what the program has seen, and no time namespace: %v",
			max(s.monotonic, s.boottime).Round(time.Second), err),
			Do: "restart it in a namespace of its own (--pids=fresh), or where the kernel has time namespaces"}
	}
	return nil
}
