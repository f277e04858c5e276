package coord

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// niceIncrement is added to the writer's nice value when the program runs again. On a busy machine the writer then gets about a
// quarter of the CPU time of a program's thread, and the scheduler prefers the program.
const niceIncrement = 5

// LowerPriority adds niceIncrement to the nice value of every thread of this process, which is only a writer ([Options].Resumed). New
// threads and children inherit the value. 19 is the largest nice value.
func LowerPriority() {
	tids, err := proc.Tasks(0)
	if err != nil {
		return
	}
	for _, tid := range tids {
		// The system call returns 20 minus the nice value (getpriority(2), C library/kernel differences).
		if raw, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, min(20-raw+niceIncrement, 19))
		}
	}
}
