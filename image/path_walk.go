package image

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/retry"
)

// A pathWalk walks from / to a directory, one name at a time. It opens each directory and symbolic link with O_PATH, checks the open
// descriptor, and goes on from it. So another user cannot replace what was checked.
//
// A strict walk ends in a directory that only the caller's user or root can have made or can replace. Each directory on the way
// belongs to one of the two, and no other user can write to it. In a sticky directory (/tmp) every user can make entries,
// but can replace only their own: there the walk accepts the caller's entries, and root's directories.
//
// A walk that is not strict only refuses symbolic links of other users. It is for writing: the mode of the new files
// protects them, even if another user can rename their directory.
type pathWalk struct {
	strict bool
	uid    uint32 // of the caller
	top    uint32 // owner of /: root, or the overflow user ID in a user namespace that does not map root
	dir    int    // O_PATH
	st     unix.Stat_t
	path   string
	links  int // followed so far

	changers map[Changer]bool // nil: a strict walk ends with an error where it would add one
}

// mostLinks is the most symbolic links that the kernel follows in one path (MAXSYMLINKS).
const mostLinks = 40

// newPathWalk walks to a directory. The caller closes the walk.
func newPathWalk(path string, strict bool) (*pathWalk, error) {
	w := &pathWalk{strict: strict, uid: uint32(os.Geteuid()), dir: -1}
	if err := w.walk(path); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// walk walks to a path as the kernel does. So it does not leave out what is before "..": that may be a symbolic link.
func (w *pathWalk) walk(path string) error {
	if !filepath.IsAbs(path) {
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		path = dir + "/" + path
	}
	return w.follow(strings.Split(path, "/"))
}

// OpenDirectory opens a directory in which the caller makes an image. It refuses symbolic links of other users on the way.
func OpenDirectory(path string) (*os.File, error) {
	w, err := newPathWalk(path, false)
	if err != nil {
		return nil, err
	}
	defer w.close()
	return w.open()
}

// OpenFile is open(2), but follows no symbolic link of another user, and none at the end of the path.
func OpenFile(path string, flags int, mode uint32) (*os.File, error) {
	w, err := newPathWalk(filepath.Dir(path), false)
	if err != nil {
		return nil, err
	}
	defer w.close()
	fd, err := retry.Openat(w.dir, filepath.Base(path), flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (w *pathWalk) close() {
	if w.dir >= 0 {
		unix.Close(w.dir)
	}
	w.dir = -1
}

// follow walks from / along names. Some of them may be symbolic links.
func (w *pathWalk) follow(names []string) error {
	if err := w.root(); err != nil {
		return err
	}
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		target, err := w.step(name)
		if err != nil {
			return err
		}
		if target == "" {
			continue
		}
		if w.links++; w.links > mostLinks {
			return &fs.PathError{Op: "open directory", Path: filepath.Join(w.path, name), Err: unix.ELOOP}
		}
		if filepath.IsAbs(target) {
			if err := w.root(); err != nil {
				return err
			}
		}
		names = append(strings.Split(target, "/"), names...)
	}
	return nil
}

func (w *pathWalk) root() error {
	w.close()
	var err error
	if w.dir, err = retry.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return &fs.PathError{Op: "open directory", Path: "/", Err: err}
	}
	w.path = "/"
	if err := unix.Fstat(w.dir, &w.st); err != nil {
		return &fs.PathError{Op: "stat", Path: "/", Err: err}
	}
	w.top = w.st.Uid
	return nil
}

// enter goes into a subdirectory of the current directory. A symbolic link is an error.
func (w *pathWalk) enter(name string) error {
	target, err := w.step(name)
	if err == nil && target != "" {
		err = &fs.PathError{Op: "open directory", Path: filepath.Join(w.path, name), Err: unix.ENOTDIR}
	}
	return err
}

// step goes into a subdirectory, or returns the target of a symbolic link.
func (w *pathWalk) step(name string) (target string, err error) {
	if name == "" || name == "." {
		return "", nil
	}
	path := filepath.Join(w.path, name)
	fd, err := retry.Openat(w.dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &fs.PathError{Op: "open directory", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err != nil {
		err = &fs.PathError{Op: "stat", Path: path, Err: err}
	} else {
		err = w.check(name, &st)
	}
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target, err = readlink(fd)
		unix.Close(fd)
		return target, err
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = &fs.PathError{Op: "open directory", Path: path, Err: unix.ENOTDIR}
	}
	if err != nil {
		unix.Close(fd)
		return "", err
	}
	unix.Close(w.dir)
	w.dir, w.st, w.path = fd, st, path
	return "", nil
}

// open opens the current directory for reading.
func (w *pathWalk) open() (*os.File, error) {
	fd, err := retry.Openat(w.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open directory", Path: w.path, Err: err}
	}
	return os.NewFile(uintptr(fd), w.path), nil
}

// readlink reads an open symbolic link.
func readlink(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil || n == 0 {
		return "", fmt.Errorf("readlink: %w", err)
	}
	return string(buf[:n]), nil
}
