// Package busypoll waits for events that are expected very soon.
//
// Waking a sleeping processor, above all a virtual one, takes longer than most answers of another process. So the caller polls
// for a moment before it sleeps. Between polls it yields the processor to other threads.
package busypoll

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// most is the number of polls before sleeping. They take one or two milliseconds.
const most = 2000

var waits atomic.Int32

// Share says how many waits there are at the same time. The more they are, the less often each polls: otherwise they would take
// the processors from the processes that they wait for.
func Share(n int) { waits.Store(int32(n)) }

// Waits is the number that Share has set.
func Waits() int { return int(waits.Load()) }

// Limit is the number of polls before sleeping.
func Limit() int {
	n := max(1, Waits())
	return most / n / n
}

// Yield lets other threads run first (sched_yield(2)).
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// Poll is poll(2) with busy-polling at first. It returns how many of fds have an event, or 0 when the timeout has passed.
func Poll(fds []unix.PollFd, timeout time.Duration) (int, error) {
	deadline := time.Now().Add(timeout)
	limit := Limit()
	for spin := 0; ; spin++ {
		left := max(time.Until(deadline), 0)
		ms := 0
		if spin < limit {
			Yield()
		} else {
			ms = int((left + time.Millisecond - 1).Milliseconds())
		}
		n, err := unix.Poll(fds, ms)
		if err == unix.EINTR {
			continue
		}
		if n != 0 || err != nil || left == 0 {
			return n, err
		}
	}
}
