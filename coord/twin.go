package coord

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// twinPid is the PID of a twin in our own PID namespace, given that in the program's. The program may have ended meanwhile.
func twinPid(pid, inside, twin int, namespace string) (int, error) {
	if pid == inside {
		return twin, nil
	}
	pids, err := proc.Pids()
	if err != nil {
		return 0, err
	}
	for _, candidate := range pids {
		s, err := proc.Read(candidate, "status", proc.Status)
		if err == nil && len(s.NSpid) > 0 && s.NSpid[len(s.NSpid)-1] == twin && namespaceOf(candidate) == namespace {
			return candidate, nil
		}
	}
	return 0, fmt.Errorf("pid %d: its twin, %d in its PID namespace, is not to be found", pid, twin)
}

// How long to wait for a process to free its memory, and for its parent to reap it.
const (
	patienceExit = 5 * time.Second
	patienceReap = 100 * time.Millisecond
)

// dismiss closes the wire, which ends the twin, and waits until the program has reaped it: whoever looks at the
// program after a checkpoint finds it as it was before.
func (c *checkpoint) dismiss() {
	defer c.member.Close()
	c.table.Close() // handles of what the program may close once it goes on
	if c.twin == 0 {
		c.conn.Close()
		return
	}
	fd, err := unix.PidfdOpen(c.twin, 0)
	c.conn.Close()
	c.twin = 0
	if err != nil {
		return
	}
	defer unix.Close(fd)
	waitForEnd(fd)
}

// waitForEnd waits for the process of a pidfd to end and be reaped.
func waitForEnd(pidfd int) {
	if ended := wait(pidfd, unix.POLLIN, patienceExit); ended&unix.POLLHUP == 0 {
		wait(pidfd, 0, patienceReap) // POLLHUP: reaped (Linux 6.11)
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
