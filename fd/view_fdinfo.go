package fd

import (
	"bytes"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/retry"
)

// needsInfo tells whether only fdinfo shows some of the state of a description that askFlags and askOffset have asked about.
func (o *open) needsInfo() bool {
	switch o.format() {
	case unix.S_IFREG:
		return !o.seeksSafely()
	case unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR: // the offset of a character device means nothing
		return false
	default:
		return true
	}
}

// describe reads the fdinfo of a descriptor.
func (v *view) describe(s *slot, o *open, name string) error {
	info, err := v.fdinfo(name)
	if err != nil {
		return err
	}
	s.addLocks(info.Locks)
	o.locks = slices.DeleteFunc(info.Locks, isPosix)
	o.add(info)
	if o.handle.shares {
		order, err := compareFiles(v.self, o.handle.fd, v.live(), o.fd)
		o.swapped = err == nil && order != 0
	}
	return nil
}

// add adds what fdinfo says about a description.
func (o *open) add(info proc.FdInfo) {
	o.pos, o.flags = info.Pos, info.Flags&^unix.O_CLOEXEC
	o.lines = info.Extra
	o.eventfd = o.lines.text("eventfd-id")
}

// fdinfo reads and parses the fdinfo of a descriptor.
func (v *view) fdinfo(name string) (proc.FdInfo, error) {
	text, err := v.read(name)
	if err != nil {
		return proc.FdInfo{}, &os.PathError{Op: "fdinfo", Path: v.Proc + "/fd/" + name, Err: err}
	}
	return proc.Fdinfo(bytes.NewReader(text))
}

// read reads a whole fdinfo. A short read is the last one, because the kernel fills the buffer with whole lines.
func (v *view) read(name string) ([]byte, error) {
	if v.info < 0 {
		var err error
		if v.info, err = openDirectory(v.Proc+"/fdinfo", unix.O_RDONLY); err != nil {
			return nil, err
		}
	}
	f, err := retry.Openat(v.info, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(f)
	return v.readAll(f)
}

// readAll reads an fdinfo from its beginning.
func (v *view) readAll(f int) ([]byte, error) {
	n, err := unix.Pread(f, v.buffer[:], 0)
	if err != nil || n < len(v.buffer)/2 {
		return v.buffer[:max(n, 0)], err
	}
	text := append([]byte(nil), v.buffer[:n]...)
	for {
		n, err := unix.Pread(f, v.buffer[:], int64(len(text)))
		if err != nil || n <= 0 {
			return text, err
		}
		text = append(text, v.buffer[:n]...)
	}
}
