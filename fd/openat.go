package fd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/retry"
)

// openFlags are the flags of F_GETFL that a restart passes to open(2). Flags that create or truncate are never among
// them.
const openFlags = unix.O_ACCMODE | unix.O_APPEND | unix.O_DIRECT | unix.O_NOATIME | unix.O_SYNC | unix.O_DSYNC |
	unix.O_PATH | unix.O_NOFOLLOW | unix.O_DIRECTORY | largeFile

const largeFile = 0o100000 // the kernel's O_LARGEFILE on amd64; unix.O_LARGEFILE is 0

// createFlags are for files that crak restart makes.
const createFlags = unix.O_CREAT | unix.O_EXCL | unix.O_TMPFILE | unix.O_ASYNC

// find finds the file at a path of an image with O_PATH, which has no effect on the file. The recorded path has no
// symbolic links, because the kernel had resolved it. If it has one now, it leads to another file, and find returns
// an error.
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

// openAt opens the file at a path of an image, if accept returns nil. It calls accept before it opens the file,
// because opening can block or have an effect, and again for what it has opened. That must be the same inode.
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

// isOurs tells whether the file belongs to the caller, who can then change its mode.
func isOurs(st *unix.Stat_t) bool { return int(st.Uid) == os.Geteuid() }

// openForbidden opens a file of the caller although its mode forbids that. The program had it open because it made
// the file with this mode (open(2), O_CREAT) or changed the mode later. The mode is changed only while the file is
// opened.
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

// permitted checks the permission to open a file, without opening it.
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

// creatable checks the permission to make a file anew.
func creatable(want image.File) obstacle.List {
	dir := filepath.Dir(want.Path)
	err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if err == nil {
		return nil
	}
	return obstacle.List{{What: want.Path, Why: fmt.Sprintf("is gone, and cannot be made again: %v", err),
		Do: "make its directory, or give access to it"}}
}

// ErrLinked is for a path of an image that now has a symbolic link in it.
var ErrLinked = errors.New("there is a symbolic link in its path now")

// openPath opens a path. It does not block, follow links or get a controlling terminal.
func openPath(path string, flags uint32, mode uint32) (*os.File, error) {
	return openBelow(unix.AT_FDCWD, path, path, flags, mode)
}

// openIn is openPath for a name in an open directory. Another user may replace a directory of a path by a symbolic link meanwhile. So crak
// makes and removes names in an open directory, or it could remove files of another one.
func openIn(dir *os.File, name string, flags uint32, mode uint32) (*os.File, error) {
	return openBelow(int(dir.Fd()), name, filepath.Join(dir.Name(), name), flags, mode)
}

// openBelow opens a path that starts at a directory. name is for messages.
func openBelow(dir int, path, name string, flags uint32, mode uint32) (*os.File, error) {
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
	fd, err := retry.Openat2(dir, path, &how)
	if errors.Is(err, unix.ELOOP) {
		return nil, &os.PathError{Op: "open", Path: name, Err: ErrLinked}
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return blocking(fd, name)
}

// reopen makes a new description of an open file. Unlike a path, it cannot lead to another file, and it works for
// files without a name.
func reopen(f *os.File, flags uint32) (*os.File, error) {
	link := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	keep := flags & openFlags &^ (unix.O_NOFOLLOW | unix.O_DIRECTORY)
	fd, err := retry.Open(link, int(keep)|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: f.Name(), Err: err}
	}
	return blocking(fd, f.Name())
}

// blocking clears O_NONBLOCK. Otherwise Go would add the description to its poller.
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

// duplicate makes another descriptor of the same description.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, &os.PathError{Op: "dup", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
