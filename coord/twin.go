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

// dismiss closes the connection. This resumes a frozen program and ends the twin. dismiss waits until the program has reaped
// the twin, so that the program has no additional child after the checkpoint.
func (c *checkpoint) dismiss() {
	defer c.member.dump.Close()
	c.table.Close() // before the program runs: it may close its descriptors then
	c.silence()
	if c.member.twin == 0 {
		c.member.conn.Close()
		return
	}
	fd, err := unix.PidfdOpen(c.member.twin, 0)
	c.member.conn.Close()
	c.member.twin = 0
	if err != nil {
		return
	}
	defer unix.Close(fd)
	waitForEnd(fd)
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
