package coord

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/retry"
)

// ErrBusy means that another checkpoint of the same program is under way.
var ErrBusy = errors.New("another checkpoint of it is under way")

// lock keeps other writers from checkpointing the same process. It is a lock (flock(2)) on a file of /proc that can be opened
// only by a process that may trace the program. The kernel drops the lock when the writer closes the file or dies.
//
// There is no lock if the file cannot be opened: the file of a process that is not dumpable cannot be opened by the process's
// own user. Nor is there a common lock of two writers that use different mounts of proc: each mount has files of its own. In
// both cases the resident (own.freezing) carries out the freezes one after the other.
func lock(pid int) (release func(), err error) {
	live, err := liveThread(pid) // an exited thread has no such file
	if err != nil {
		return nil, err
	}
	path := proc.Path(live, "environ")
	fd, err := retry.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", pid, &os.PathError{Op: "open", Path: path, Err: err})
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("pid %d: %w", pid, ErrBusy)
		}
		return nil, fmt.Errorf("pid %d: lock: %w", pid, err)
	}
	return func() { unix.Close(fd) }, nil
}
