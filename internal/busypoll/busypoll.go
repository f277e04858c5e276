// Package busypoll waits for events that are expected very soon.
//
// Waking a sleeping processor, above all a virtual one, takes longer than most answers of another process. So the caller polls
// for a moment before it sleeps. Between polls it yields the processor to other threads.
package busypoll

import (
	"time"

	"golang.org/x/sys/unix"
)

// SpinLimit is the number of polls before sleeping. They take one or two milliseconds.
const SpinLimit = 2000

// Yield lets other threads run first (sched_yield(2)).
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// Poll is poll(2) with busy-polling at first. It returns how many of fds have an event, or 0 when patience is over.
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
