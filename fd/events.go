package fd

import "golang.org/x/sys/unix"

// eventsOf returns the events of a descriptor that poll(2) shows now: those of wanted, POLLERR and POLLHUP. The Go runtime sends signals to
// its own threads, which interrupt poll(2) even if it does not wait.
func eventsOf(fd int, wanted int16) (int16, error) {
	poll := []unix.PollFd{{Fd: int32(fd), Events: wanted}}
	for {
		if _, err := unix.Poll(poll, 0); err != unix.EINTR {
			return poll[0].Revents, err
		}
	}
}
