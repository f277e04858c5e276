// Package busypoll waits for what is about to come.
//
// To wake a processor that sleeps, above all a virtual one, takes longer than most answers of another process do. So who
// waits here looks for a moment before it sleeps; whoever else has something to do gets the processor in between.
package busypoll

import (
	"time"

	"golang.org/x/sys/unix"
)

// SpinLimit is how often to look before sleeping: a millisecond or two.
const SpinLimit = 2000

// Yield lets others go first (sched_yield(2)).
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// Poll is poll(2) with a bound: how many of fds have something, 0 when the time is up.
func Poll(fds []unix.PollFd, patience time.Duration) (int, error) {
	deadline := time.Now().Add(patience)
	for spin := 0; ; spin++ {
		left := max(time.Until(deadline), 0)
		timeout := 0
		if spin < SpinLimit {
			Yield()
		} else {
			timeout = int((left + time.Millisecond - 1).Milliseconds())
		}
		n, err := unix.Poll(fds, timeout)
		if err == unix.EINTR {
			continue
		}
		if n != 0 || err != nil || left == 0 {
			return n, err
		}
	}
}
