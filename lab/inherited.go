package lab

import (
	"fmt"
	"math"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ordinaryUmask is what programs under test start with, whoever runs the lab.
const ordinaryUmask = 0o022

// settle makes the surroundings of this process ordinary, as the programs under test inherit them: a checkpoint records them.
//   - The stray pipe of a shell, of make or of a CI runner would be an obstacle to each program. (Go has opened
//     /dev/null as 0, 1 and 2 where they were closed.)
//   - nohup(1), and a shell that starts a job with &, leave signals ignored.
//   - A umask of 077 hides a program's files from another identity.
func settle() error {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	unix.Umask(ordinaryUmask)
	return catchIgnored()
}

// catchIgnored has this process catch every signal that it ignores. To the process that is the same, but an
// executed program has the default action for a signal that was caught.
func catchIgnored() error {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	field, _ := keyed(data)["SigIgn"].(string)
	ignored, err := strconv.ParseUint(field, 16, 64)
	if err != nil {
		return fmt.Errorf("/proc/self/status: SigIgn: %w", err)
	}
	nobody := make(chan os.Signal, 1)
	for n := range 64 {
		if ignored&(1<<n) != 0 {
			signal.Notify(nobody, syscall.Signal(n+1))
		}
	}
	return nil
}
