package coord

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// niceIncrement is how much nicer than the program the writer is once that runs again: on a busy machine it still gets a
// quarter of what a thread of the program gets, but never has one wait for its turn.
const niceIncrement = 5

// lowerPriority lets the program go first. Threads have a nice value each; new ones inherit it. Where the program's own is
// lower than ours may be, nothing happens.
func lowerPriority() {
	tids, err := proc.Tasks(0)
	if err != nil {
		return
	}
	for _, tid := range tids {
		// The system call gives 20 less the nice value (getpriority(2), C library/kernel differences).
		if raw, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, min(20-raw+niceIncrement, 19))
		}
	}
}
