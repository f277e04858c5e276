package coord

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrBusy means that another checkpoint of the same program is under way.
var ErrBusy = errors.New("another checkpoint of it is under way")

// namespaceOf names the PID namespace of a process, as well as it can be told.
func namespaceOf(pid int) string {
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		return "pid"
	}
	return name
}

// lock keeps others from checkpointing the same process. The name belongs to the PID namespace
// of the process too; the kernel frees it when we close the socket or die.
func lock(pid int, namespace string) (release func(), err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@crak.lock.%s.%d", namespace, pid)})
	if errors.Is(err, unix.EADDRINUSE) {
		err = ErrBusy
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	return func() { unix.Close(fd) }, nil
}
