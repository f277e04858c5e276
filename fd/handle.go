package fd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/retry"
	"crak.dev/crak/internal/rights"
)

// A Handle is a descriptor of the writer for something that a frozen process has open. The writer asks through it, so
// no other process can exchange the object between two questions. If the writer takes a handle again, it first checks
// that it has the same object (takeAgain).
//
// Most handles share the open file description with the program (pidfd_getfd(2)). All who share a description have
// the same offset, flags and locks. So the writer never calls read(2) on a handle, never changes its flags, and never
// makes an os.File of it: os.File changes flags. The writer closes handles before the program goes on. While a handle
// is open and the program closes its own descriptor, a pipe does not get its end of file and a lock of flock(2) is
// not released. The writer has few handles at a time: a group may have more descriptors than the writer may open.
//
// If the kernel refuses pidfd_getfd (before Linux 5.6, and by seccomp filters of containers), the handle is made with
// O_PATH. Then it tells what the object is, but nothing about the description.
type Handle struct {
	fd     int
	shares bool // it shares the program's description
}

// Close releases the handle, which may be nil.
func (h *Handle) Close() {
	if h != nil && h.fd >= 0 {
		unix.Close(h.fd)
		h.fd = -1
	}
}

// asks tells whether system calls on the handle reach the description.
func (h *Handle) asks() bool { return h.shares && h.fd >= 0 }

// path leads to the object, for system calls that accept only a path.
func (h *Handle) path() string { return "/proc/self/fd/" + strconv.Itoa(h.fd) }

// Stat is fstat(2).
func (h *Handle) Stat() (st unix.Stat_t, err error) {
	err = unix.Fstat(h.fd, &st)
	return st, err
}

// TakePath takes a handle of the file at a path, with O_PATH: that has no effect on a FIFO or a device.
func TakePath(path string) (*Handle, error) {
	fd, err := retry.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &Handle{fd: fd}, nil
}

// A taker takes handles of one process.
type taker struct {
	pidfd int    // -1: pidfd_getfd is refused
	proc  string // "/proc/412"
}

// newTaker takes handles of a member with a live thread.
func newTaker(m *Member) *taker {
	t := &taker{pidfd: -1, proc: m.Proc}
	if fd, err := unix.PidfdOpen(m.live(), 0); err == nil {
		t.pidfd = fd
	} else if fd, err := unix.PidfdOpen(m.live(), unix.PIDFD_THREAD); err == nil { // Linux 6.9; the thread group leader has exited
		t.pidfd = fd
	}
	return t
}

func (t *taker) close() {
	if t.pidfd >= 0 {
		unix.Close(t.pidfd)
	}
}

// take takes a handle of a descriptor. The error is os.ErrNotExist if the descriptor is closed.
func (t *taker) take(number int) (*Handle, error) {
	if t.pidfd >= 0 {
		fd, err := unix.PidfdGetfd(t.pidfd, number, 0)
		switch err {
		case nil:
			return &Handle{fd: fd, shares: true}, nil
		case unix.EBADF:
			return nil, os.ErrNotExist
		case unix.EPERM, unix.ENOSYS, unix.ESRCH:
			t.close()
			t.pidfd = -1
		default:
			return nil, os.NewSyscallError("pidfd_getfd", err)
		}
	}
	return TakePath(t.proc + "/fd/" + strconv.Itoa(number))
}

// takeAgain takes a handle of a description that was seen before. Its descriptor must still be open on the same
// object.
func (t *taker) takeAgain(o *open) (*Handle, error) {
	h, err := t.take(o.fd)
	if err != nil {
		return nil, err
	}
	st, err := h.Stat()
	if err == nil && (st.Dev != o.stat.Dev || st.Ino != o.stat.Ino || st.Mode&unix.S_IFMT != o.format()) {
		err = errSwapped
	}
	if err == nil && h.shares {
		var flags int
		if flags, err = unix.FcntlInt(uintptr(h.fd), unix.F_GETFL, 0); err == nil && uint32(flags)&unix.O_ACCMODE != o.flags&unix.O_ACCMODE {
			err = errSwapped
		}
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// source takes handles of a description's file later. It uses the writer's own rights: the member that the writer looks at with lesser
// rights (Member.As) may be another one than that which has the description open, and belong to another user.
func (o *open) source() Take {
	return func() (h *Handle, err error) {
		rights.Own(func() {
			t := newTaker(o.member)
			defer t.close()
			h, err = t.takeAgain(o)
		})
		return h, err
	}
}

var errSwapped = errors.New("is another file than it was")

// A Source is the content of a regular file that has no name, opened for reading.
type Source struct {
	fd  int
	own bool // it has an offset of its own
}

// Open opens the content. It checks the object first, and then makes a new description through the handle, so it
// cannot open another file, a FIFO or a device. If the file's mode forbids that, it reads through the program's own
// description.
func (h *Handle) Open(want Inode) (*Source, error) {
	st, err := h.Stat()
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Dev != want.Device || st.Ino != want.Number {
		return nil, errSwapped
	}
	fd, err := retry.Open(h.path(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err == nil {
		return &Source{fd: fd, own: true}, nil
	}
	if h.shares && errors.Is(err, os.ErrPermission) {
		flags, flagsErr := unix.FcntlInt(uintptr(h.fd), unix.F_GETFL, 0)
		readable := flags&unix.O_ACCMODE != unix.O_WRONLY && flags&(unix.O_PATH|unix.O_DIRECT) == 0
		if flagsErr == nil && readable {
			fd, err = unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD_CLOEXEC, 3)
			return &Source{fd: fd}, err
		}
	}
	return nil, fmt.Errorf("cannot be read: %w", err)
}

// Fd is the descriptor, for ioctl(2).
func (s *Source) Fd() int { return s.fd }

// Close ends reading.
func (s *Source) Close() { unix.Close(s.fd) }

// ReadAt is io.ReaderAt. It does not change an offset.
func (s *Source) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		more, err := unix.Pread(s.fd, b[n:], at+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case more == 0:
			return n, io.EOF
		}
		n += max(more, 0)
	}
	return n, nil
}

// Runs lists the parts of the file that are not holes, in whole pages (lseek(2), SEEK_DATA).
func (s *Source) Runs(size int64) ([]image.Run, error) {
	if !s.own { // lseek would change the program's offset
		length := uint64(size+image.PageSize-1) &^ (image.PageSize - 1)
		return []image.Run{{Length: length}}, nil
	}
	var runs []image.Run
	for at := int64(0); at < size; {
		start, err := unix.Seek(s.fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && start >= size { // another process may make the file longer meanwhile
			break
		}
		if err != nil {
			return nil, err
		}
		end, err := unix.Seek(s.fd, start, unix.SEEK_HOLE)
		if err != nil {
			return nil, err
		}
		r := image.Run{Start: uint64(start) &^ (image.PageSize - 1)} // blocks may be smaller than pages
		if last := len(runs) - 1; last >= 0 {
			r.Start = max(r.Start, runs[last].End())
		}
		if r.Start < uint64(end) {
			r.Length = (uint64(end)+image.PageSize-1)&^(image.PageSize-1) - r.Start
			runs = append(runs, r)
		}
		at = end
	}
	return runs, nil
}
