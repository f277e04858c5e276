package fd

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// openFlags are those of F_GETFL that open(2) takes again. What creates or truncates is never among them.
const openFlags = unix.O_ACCMODE | unix.O_APPEND | unix.O_DIRECT | unix.O_NOATIME | unix.O_SYNC | unix.O_DSYNC |
	unix.O_PATH | unix.O_NOFOLLOW | unix.O_DIRECTORY | largeFile

const largeFile = 0o100000 // O_LARGEFILE as the kernel has it on amd64, where x/sys has 0

// createFlags are for files of our own making.
const createFlags = unix.O_CREAT | unix.O_EXCL | unix.O_TMPFILE

// find looks at what is at a path of an image, by a handle that has no effect on it (O_PATH). The kernel had resolved the
// path: where a symbolic link is on it now, it leads elsewhere, and that is an error.
func find(path string) (*os.File, *unix.Stat_t, error) {
	f, err := openPath(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return f, &st, nil
}

// openAt opens what is at a path of an image, if accept takes it. Accept sees it before it is opened, so that nothing is opened
// that may have an effect or block, and then what was opened: that is the same inode, and only it is used from then on.
func openAt(path string, flags uint32, accept func(*unix.Stat_t) error) (*os.File, error) {
	seen, before, err := find(path)
	if err != nil {
		return nil, err
	}
	defer seen.Close()
	if err := accept(before); err != nil {
		return nil, err
	}
	f, err := openPath(path, flags&openFlags, 0)
	if errors.Is(err, os.ErrPermission) && isOurs(before) {
		f, err = openForbidden(seen, before, path, flags&openFlags)
	}
	if err != nil {
		return nil, err
	}
	var after unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &after)
	if err == nil && (before.Ino != after.Ino || before.Dev != after.Dev) {
		err = fmt.Errorf("%s: replaced while it was opened", path)
	}
	if err == nil {
		err = accept(&after)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// isOurs: what its mode forbids us we may allow ourselves.
func isOurs(st *unix.Stat_t) bool { return int(st.Uid) == os.Geteuid() }

// openForbidden opens a file of ours in a way that its mode forbids: it was made so with this mode
// (open(2), O_CREAT), or changed later. The mode is another for that moment.
func openForbidden(seen *os.File, st *unix.Stat_t, path string, flags uint32) (*os.File, error) {
	link := "/proc/self/fd/" + strconv.Itoa(int(seen.Fd()))
	if err := unix.Chmod(link, st.Mode&0o7777|0o700); err != nil {
		return nil, &os.PathError{Op: "chmod", Path: path, Err: err}
	}
	f, err := openPath(path, flags, 0)
	if back := unix.Chmod(link, st.Mode&0o7777); back != nil && err == nil {
		f.Close()
		return nil, &os.PathError{Op: "chmod", Path: path, Err: back}
	}
	return f, err
}

// permitted looks whether we may open a file, without opening it.
func permitted(want image.File, flags uint32) obstacle.List {
	mode := [...]uint32{unix.R_OK, unix.W_OK, unix.R_OK | unix.W_OK, 0}[flags&unix.O_ACCMODE]
	err := unix.Faccessat(unix.AT_FDCWD, want.Path, mode, unix.AT_EACCESS)
	var st unix.Stat_t
	if err == nil || err == unix.EACCES && unix.Stat(want.Path, &st) == nil && isOurs(&st) {
		return nil
	}
	return obstacle.List{{
		What: want.Path,
		Why:  fmt.Sprintf("cannot be opened: %v", err),
		Do:   "restart as the user who ran the program, or give access to the file",
	}}
}

// ErrLinked: the path of an image leads over a symbolic link now.
var ErrLinked = errors.New("its path leads over a symbolic link now")

// openPath opens without blocking, without following links and without getting a controlling terminal.
func openPath(path string, flags uint32, mode uint32) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags&(openFlags|createFlags)) | unix.O_CLOEXEC,
		Mode:    uint64(mode),
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	}
	if flags&unix.O_PATH != 0 {
		how.Flags &= unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	} else {
		how.Flags |= unix.O_NONBLOCK | unix.O_NOCTTY
	}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if errors.Is(err, unix.ELOOP) {
		return nil, &os.PathError{Op: "open", Path: path, Err: ErrLinked}
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return blocking(fd, path)
}

// reopen makes a new description of an open file. Unlike a path it cannot lead elsewhere, and it works
// for files without a name.
func reopen(f *os.File, flags uint32) (*os.File, error) {
	link := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	keep := flags & openFlags &^ (unix.O_NOFOLLOW | unix.O_DIRECTORY)
	fd, err := unix.Open(link, int(keep)|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: f.Name(), Err: err}
	}
	return blocking(fd, f.Name())
}

// blocking clears O_NONBLOCK, so that Go keeps the description out of its own poller.
func blocking(fd int, name string) (*os.File, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err == nil && flags&unix.O_PATH == 0 {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags&^unix.O_NONBLOCK)
	}
	if err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "fcntl", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// duplicate is another descriptor of the same description.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, &os.PathError{Op: "dup", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
