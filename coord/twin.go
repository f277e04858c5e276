package coord

import (
	"time"

	"golang.org/x/sys/unix"
)

// Longest waits for a process to exit, which includes freeing its memory, and for its parent to reap it.
const (
	patienceExit = 5 * time.Second
	patienceReap = 100 * time.Millisecond
)

// dismiss closes the connections. This resumes frozen members and ends the twins. dismiss waits until the members have reaped
// their twins, so that no member has an additional child after the checkpoint.
func (c *checkpoint) dismiss() {
	c.frozen.end()
	for _, m := range c.members {
		m.letGo()
	}
	c.each(func(m *member) error {
		if m.twin == nil {
			return nil
		}
		if process, err := m.twin.Open(); err == nil {
			waitForEnd(process)
			unix.Close(process)
		}
		m.twin = nil
		return nil
	})
}

// waitForEnd waits until the process of a pidfd has ended and was reaped.
func waitForEnd(pidfd int) {
	if ended := wait(pidfd, unix.POLLIN, patienceExit); ended&unix.POLLHUP == 0 {
		wait(pidfd, 0, patienceReap) // POLLHUP: the process was reaped (since Linux 6.11)
	}
}

func wait(fd int, events int16, patience time.Duration) int16 {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for deadline := time.Now().Add(patience); ; {
		n, err := unix.Poll(fds, int(max(time.Until(deadline), 0).Milliseconds()))
		if err != unix.EINTR || time.Now().After(deadline) {
			if n <= 0 {
				return 0
			}
			return fds[0].Revents
		}
	}
}
