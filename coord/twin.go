package coord

import (
	"time"

	"golang.org/x/sys/unix"
)

// Longest waits for a process to exit, and for its parent to reap it. A process that exits frees its memory, which may take a second for each
// GiB.
const (
	timeoutExit = 30 * time.Second
	timeoutReap = 100 * time.Millisecond
)

// dismiss ends the twins and closes the connections, which resumes frozen members. It waits until the members have reaped their twins,
// so that no member has an additional child after the checkpoint.
func (c *checkpoint) dismiss() {
	c.frozen.end()
	c.listening = 0
	for _, m := range c.members {
		if m.twin != nil {
			m.twin.Kill() // or it would tell the program itself that it ends (shim/ending.c)
		}
		m.disconnect()
	}
	c.each(func(m *member) error {
		m.reapTwin()
		m.twin = nil
		return nil
	})
}

// reapTwin waits for the end of the twin, and has the member reap it. The order goes to one thread, as every order: the kernel sends
// no signal at the end of a twin (abi.ExitSignal). If the member has executed another program, the twin stays a zombie.
func (m *member) reapTwin() {
	if m.twin == nil {
		return
	}
	process, err := m.twin.Open()
	if err != nil {
		return
	}
	defer unix.Close(process)
	if wait(process, unix.POLLIN, timeoutExit)&unix.POLLHUP != 0 {
		return
	}
	surveyed := m.program
	if ready, err := m.isReady(); err != nil || !ready || differ(m.program, surveyed) {
		return
	}
	if m.live, err = liveThread(m.pid); err == nil && m.twin.Reap(m.pid, m.live) == nil {
		wait(process, 0, timeoutReap)
	}
}

// waitForEnd waits until the process of a pidfd has ended and was reaped.
func waitForEnd(pidfd int) {
	if ended := wait(pidfd, unix.POLLIN, timeoutExit); ended&unix.POLLHUP == 0 {
		wait(pidfd, 0, timeoutReap) // POLLHUP: the process was reaped (since Linux 6.11)
	}
}

func wait(fd int, events int16, timeout time.Duration) int16 {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for deadline := time.Now().Add(timeout); ; {
		n, err := unix.Poll(fds, int(max(time.Until(deadline), 0).Milliseconds()))
		if err != unix.EINTR || time.Now().After(deadline) {
			if n <= 0 {
				return 0
			}
			return fds[0].Revents
		}
	}
}
