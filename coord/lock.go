package coord

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// ErrBusy means that another checkpoint of the same program is under way.
var ErrBusy = errors.New("another checkpoint of it is under way")

// lock keeps others from checkpointing the same process: a lock (flock(2)) on a file of
// /proc that only those can open who may trace the process. The kernel drops it when we close the file or die.
//
// Nobody, not even its own user, can open that file of a process that is not dumpable; and each mount of proc has files of its
// own. There is no lock then: the resident leads one freeze after the other.
func lock(pid int) (release func(), err error) {
	live, err := liveThread(pid) // of an ended one there is no such file
	if err != nil {
		return nil, err
	}
	path := proc.Path(live, "environ")
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
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
