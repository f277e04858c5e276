package fd

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// openFlags are those of F_GETFL that open(2) takes again. What creates or truncates is never among them.
const openFlags = unix.O_ACCMODE | unix.O_APPEND | unix.O_DIRECT | unix.O_NOATIME | unix.O_SYNC | unix.O_DSYNC |
	unix.O_PATH | unix.O_NOFOLLOW | unix.O_DIRECTORY | largeFile

const largeFile = 0o100000 // O_LARGEFILE as the kernel has it on amd64, where x/sys has 0

// openAt opens a file of an image by its path, which the kernel had resolved: a symbolic link
// on it is a surprise. It is looked at by O_PATH first, which has no effect on whatever is there.
func openAt(want image.File, flags uint32, env *Env) (*os.File, error) {
	seen, err := openPath(want.Path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer seen.Close()
	var before, after unix.Stat_t
	if err := unix.Fstat(int(seen.Fd()), &before); err != nil {
		return nil, &os.PathError{Op: "stat", Path: want.Path, Err: err}
	}
	if before.Mode&unix.S_IFMT != want.Mode&unix.S_IFMT {
		return nil, fmt.Errorf("%s: is now another kind of file", want.Path)
	}
	f, err := openPath(want.Path, flags, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Fstat(int(f.Fd()), &after); err != nil || before.Ino != after.Ino || before.Dev != after.Dev {
		f.Close()
		return nil, fmt.Errorf("%s: replaced while it was opened", want.Path)
	}
	return f, nil
}

// openPath opens without blocking, without following links and without getting a controlling terminal.
func openPath(path string, flags uint32, mode uint32) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags&(openFlags|unix.O_CREAT|unix.O_EXCL)) | unix.O_CLOEXEC,
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
		return nil, fmt.Errorf("%s: the path now leads over a symbolic link: %w", path, err)
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
