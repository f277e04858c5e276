package image

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
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

// A Changer is a user, or all users of a group, who can change where a path leads.
type Changer struct {
	ID    uint32
	Group bool
}

// AnyGroup stands for all users of the system: it is the group that the kernel shows for a group that it does not know.
const AnyGroup = 65534

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
	fd, err := unix.Openat(w.dir, filepath.Base(path), flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// CheckDirectory returns an error if another user could replace a directory, or put files into it.
func CheckDirectory(path string) error {
	w, err := newPathWalk(path, true)
	if err == nil {
		w.close()
	}
	return err
}

// Changers returns the users besides the caller and root who can change where the path of a directory leads.
func Changers(path string) ([]Changer, error) {
	w := &pathWalk{strict: true, uid: uint32(os.Geteuid()), dir: -1, changers: make(map[Changer]bool)}
	defer w.close()
	err := w.walk(path)
	return slices.Collect(maps.Keys(w.changers)), err
}

// OnlyOwn tells whether nobody but the caller's user and root can put files into a directory, or replace it.
func OnlyOwn(path string) bool {
	w, err := newPathWalk(path, true)
	if err != nil {
		return false
	}
	defer w.close()
	return w.end() == nil
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
	if w.dir, err = unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
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
	fd, err := unix.Openat(w.dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
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

// check checks an entry of the current directory.
func (w *pathWalk) check(name string, st *unix.Stat_t) error {
	path := filepath.Join(w.path, name)
	link := st.Mode&unix.S_IFMT == unix.S_IFLNK
	if link && st.Uid != w.uid && st.Uid != 0 {
		if err := w.refuse(Changer{ID: st.Uid}, obstacle.Obstacle{Where: path, What: "symbolic link",
			Why: fmt.Sprintf("belongs to user %d, who can make it point elsewhere", st.Uid), Do: "name the directory itself"}); err != nil {
			return err
		}
	}
	if !w.strict {
		return nil
	}
	if who := w.othersWrite(); who != "" && name != ".." {
		if !w.sticky() {
			group := w.st.Gid
			if w.st.Mode&unix.S_IWOTH != 0 {
				group = AnyGroup
			}
			if err := w.refuse(Changer{group, true}, w.writable(who)); err != nil {
				return err
			}
		}
		if link && st.Uid != w.uid {
			if err := w.refuse(Changer{ID: st.Uid}, w.foreign(path, st.Uid)); err != nil {
				return err
			}
		}
	}
	if !link && st.Uid != w.uid && !w.isRoot(st.Uid) {
		return w.refuse(Changer{ID: st.Uid}, w.foreign(path, st.Uid))
	}
	return nil
}

// refuse returns an error, or notes a changer if the walk collects them.
func (w *pathWalk) refuse(who Changer, err error) error {
	if w.changers == nil {
		return err
	}
	w.changers[who] = true
	return nil
}

// isRoot tells whether root, or possibly root, is the owner of a directory on the way. In a user namespace that does not map root,
// the directories of root and of all other unmapped users have the same owner. There check accepts the directories of all
// these users on the way, but end does not accept them as the last directory.
func (w *pathWalk) isRoot(uid uint32) bool { return uid == 0 || uid == w.top }

// end checks the last directory, which has the files of the caller.
func (w *pathWalk) end() error {
	if w.st.Uid != w.uid && (w.st.Uid != 0 || !w.strict) {
		return w.foreign(w.path, w.st.Uid)
	}
	if who := w.othersWrite(); who != "" {
		return w.writable(who)
	}
	return nil
}

// open opens the current directory for reading.
func (w *pathWalk) open() (*os.File, error) {
	fd, err := unix.Openat(w.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open directory", Path: w.path, Err: err}
	}
	return os.NewFile(uintptr(fd), w.path), nil
}

// othersWrite says which users besides the caller and root can write to the current directory: "" for none. A walk that collects changers
// has the owner of the directory already.
func (w *pathWalk) othersWrite() string {
	uid := w.uid
	if w.changers != nil {
		uid = w.st.Uid
	}
	return othersWrite(w.dir, &w.st, uid)
}

func (w *pathWalk) sticky() bool { return w.st.Mode&unix.S_ISVTX != 0 }

func (w *pathWalk) writable(who string) error {
	return obstacle.Obstacle{Where: w.path, What: "directory", Why: who + " can write to it, and so can replace your image",
		Do: "chmod go-w " + w.path + ", or move the image to a directory of your own"}
}

func (w *pathWalk) foreign(path string, uid uint32) error {
	return Foreign{obstacle.Obstacle{Where: path, What: "directory",
		Why: fmt.Sprintf("belongs to user %d, not to user %d or root", uid, w.uid), Do: w.whatToDo()}}
}

func (w *pathWalk) whatToDo() string {
	switch {
	case !w.strict:
		return "choose another directory with CRAK_DIR, or with --dir of crak run"
	case w.uid == 0:
		return "crak restart --as-owner restarts a user's image as that user"
	}
	return "use an image of your own in a directory of your own"
}

// Foreign is the error for a file of another user where only the caller's files are accepted.
type Foreign struct{ obstacle.Obstacle }

// Unwrap returns the error as an Obstacle.
func (f Foreign) Unwrap() error { return f.Obstacle }

// readlink reads an open symbolic link.
func readlink(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil || n == 0 {
		return "", fmt.Errorf("readlink: %w", err)
	}
	return string(buf[:n]), nil
}
