package fd

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// eventsOf returns the events of a descriptor that poll(2) shows now: those of wanted, POLLERR and POLLHUP.
func eventsOf(fd int, wanted int16) (int16, error) { return awaitEvents(fd, wanted, time.Time{}) }

// awaitEvents waits until a descriptor has one of the wanted events, POLLERR or POLLHUP. It returns the events, which are 0 if there was
// none at the given time. The Go runtime sends signals to its own threads, which interrupt poll(2) even if it does not wait.
func awaitEvents(fd int, wanted int16, by time.Time) (int16, error) {
	poll := []unix.PollFd{{Fd: int32(fd), Events: wanted}}
	for {
		switch _, err := unix.Poll(poll, int(max(0, time.Until(by).Milliseconds()))); err {
		case nil:
			return poll[0].Revents, nil
		case unix.EINTR:
		default:
			return 0, os.NewSyscallError("poll", err)
		}
	}
}
