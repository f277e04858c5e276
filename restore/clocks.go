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

// A clockShift is how far the members' clocks are ahead of this machine's, or behind if it is negative. These clocks count from the
// start of a machine. On a machine that started later they would go back, and a thread that sleeps until a certain time would sleep
// for days. On a machine that started earlier all such threads would wake up at once.
type clockShift struct{ monotonic, boottime time.Duration }

// aheadMost is how far a clock may be ahead of the time that has passed since the checkpoint: somebody may have set CLOCK_REALTIME.
const aheadMost = time.Minute

// shiftFor returns the shift of the members' clocks, by which no member's clock goes back. machine has the clocks of this machine, and
// passed is the most that has passed since the checkpoint.
func shiftFor(g *image.Group, machine image.Clocks, passed time.Duration) clockShift {
	var then image.Clocks
	for i := range g.Processes {
		c := &g.Processes[i].Clocks
		then.MonotonicNs, then.BoottimeNs = max(then.MonotonicNs, c.MonotonicNs), max(then.BoottimeNs, c.BoottimeNs)
	}
	return clockShift{shiftOf(then.MonotonicNs, machine.MonotonicNs, passed), shiftOf(then.BoottimeNs, machine.BoottimeNs, passed)}
}

// shiftOf is the shift of a clock from its time at the checkpoint and now. then is 0 if the image does not have it.
func shiftOf(then, now int64, passed time.Duration) time.Duration {
	behind := time.Duration(then - now)
	switch {
	case then == 0:
		return 0
	case behind > 0:
		return behind
	case behind+passed < -aheadMost:
		return behind + passed
	}
	return 0
}

// clocks are those of this machine.
func clocks() (c image.Clocks) {
	c.MonotonicNs, _ = now(unix.CLOCK_MONOTONIC)
	c.BoottimeNs, _ = now(unix.CLOCK_BOOTTIME)
	return c
}

// passedSince is the most that has passed since a checkpoint. The program was frozen before its image was complete.
func passedSince(m *image.Manifest) time.Duration {
	return max(time.Since(m.Created), 0) + max(time.Duration(m.Statistics.TotalNs), 0)
}

// possible is the shift that this process can make. It tells the user if clocks jump ahead because there can be no time namespace.
func (s clockShift) possible(tell func(string)) clockShift {
	if s.monotonic >= 0 && s.boottime >= 0 {
		return s
	}
	if err := inOwnThread(s.enter); err != nil && s.monotonic <= 0 && s.boottime <= 0 {
		tell(fmt.Sprintf("CLOCK_MONOTONIC goes ahead by %v, and threads that sleep wake up: this machine has been up for longer, and there is no time namespace: %v",
			-min(s.monotonic, s.boottime).Round(time.Second), err))
		return clockShift{}
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
	return inOwnThread(func() error {
		if err := s.enter(); err != nil {
			return obstacle.Obstacle{What: "CLOCK_MONOTONIC", Why: fmt.Sprintf("%v behind what the program has seen, and no time namespace: %v",
				max(s.monotonic, s.boottime).Round(time.Second), err),
				Do: "restart it in a namespace of its own (--pids=fresh), or where the kernel has time namespaces"}
		}
		return do()
	})
}

// inOwnThread calls do in a thread that ends afterwards, and so does its namespace.
func inOwnThread(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		done <- do()
	}()
	return <-done
}

// enter moves the children of this thread into a new time namespace.
func (s clockShift) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return err
	}
	return s.write(fmt.Sprintf("/proc/%d/timens_offsets", unix.Gettid()))
}

// write adds the shift to the offsets of a new time namespace. A new namespace has the offsets of crak's own, which may not be 0.
func (s clockShift) write(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var name [2]string
	var seconds, ns [2]int64
	if _, err := fmt.Sscan(string(text), &name[0], &seconds[0], &ns[0], &name[1], &seconds[1], &ns[1]); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var offsets string
	for i, shift := range []time.Duration{s.monotonic, s.boottime} {
		all := ns[i] + int64(shift%time.Second) + int64(time.Second) // not negative
		offsets += fmt.Sprintf("%s %d %d\n", name[i], seconds[i]+int64(shift/time.Second)-1+all/int64(time.Second), all%int64(time.Second))
	}
	return os.WriteFile(path, []byte(offsets), 0)
}
