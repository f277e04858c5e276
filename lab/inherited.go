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

// settle sets what the programs under test inherit from this process, because a checkpoint records it.
//   - A pipe that a shell, make or a CI runner has left open would be an obstacle to each checkpoint. (If 0, 1 and 2 were closed, Go
//     has opened /dev/null in their place.)
//   - nohup(1), and a shell that starts a job with &, leave signals ignored.
//   - A umask of 077 hides a program's files from another identity.
func settle() error {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	unix.Umask(ordinaryUmask)
	return catchIgnored()
}

// catchIgnored makes this process catch every signal that it ignores. The process itself does not notice a difference. But a program
// that it executes begins with the default action for a signal that was caught.
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
