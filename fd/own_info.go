package fd

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/retry"
)

// An ownInfo is the fdinfo of one of the writer's numbers. The kernel looks at the number anew with each read from the beginning
// (seq_show of the kernel's fs/proc/fd.c). Handles have the same number one after the other. So the file is opened once, and read for
// each handle: to open it for each takes ten times as long.
type ownInfo struct{ fd, number int }

// describeHandle reads the fdinfo of a handle. It has all that the program's has, except for the POSIX locks.
//
// Preconditions: the handle shares the description.
func (v *view) describeHandle(o *open) error {
	info, err := v.readOwn(o.handle.fd)
	if err != nil {
		return &os.PathError{Op: "fdinfo", Path: o.path(), Err: err}
	}
	o.add(info)
	return nil
}

func (v *view) readOwn(number int) (proc.FdInfo, error) {
	if v.own == nil || v.own.number != number {
		if v.own != nil {
			unix.Close(v.own.fd)
			v.own = nil
		}
		fd, err := retry.Open("/proc/self/fdinfo/"+strconv.Itoa(number), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return proc.FdInfo{}, err
		}
		v.own = &ownInfo{fd, number}
	}
	text, err := v.readAll(v.own.fd)
	if err != nil {
		return proc.FdInfo{}, err
	}
	return proc.Fdinfo(bytes.NewReader(text))
}
