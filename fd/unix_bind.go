package fd

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/printable"
	"crak.dev/crak/internal/retry"
)

// A boundName is a name that a restart has given to a socket.
type boundName struct {
	name *UnixName
	file *os.File // the socket's file, O_PATH; nil if the name is abstract
}

// address is the address by which connect(2) finds the socket. It leads to the socket's file even if that file has been removed, or if
// another file is at its path.
func (b *boundName) address() (unix.RawSockaddrUnix, uintptr) {
	if b.file == nil {
		return b.name.address()
	}
	link := &UnixName{Path: "/proc/self/fd/" + strconv.Itoa(int(b.file.Fd()))}
	return link.address()
}

func (b *boundName) close() {
	if b != nil && b.file != nil {
		b.file.Close()
	}
}

// bind gives a socket its name. It replaces a socket file that an ended process has left at the path. If the socket had no file any more
// at the checkpoint, or another name, bind leaves a file at the path where it is. If the restart fails, everything at the path is as before.
//
// Another user may be able to replace a directory of the path by a symbolic link. So bind opens the directory once, and renames, removes and
// changes files only there. Only bind(2) goes through the path: crak notices if the new file is not in that directory. A restart by root calls it with the rights of
// this user (unix_binder.go).
func (e *Env) bind(socket int, n *UnixName) (*boundName, error) {
	b := &boundName{name: n}
	if n.Path == "" {
		return b, rawBind(socket, n)
	}
	if n.withoutPlace() {
		placed, remove, err := n.makePlace()
		if err != nil {
			return nil, fmt.Errorf("directory of %s: %w", n, err)
		}
		defer remove()
		n, b.name = placed, placed
	}
	err := inDirectory(n.Directory, !filepath.IsAbs(n.Path), func() error { return e.bindPath(socket, b) })
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (e *Env) bindPath(socket int, b *boundName) error {
	n := b.name
	slash := strings.LastIndexByte(n.Path, '/')
	fd, err := retry.Open(cmp.Or(n.Path[:slash+1], "."), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(n.full()), Err: err}
	}
	dir := os.NewFile(uintptr(fd), filepath.Dir(n.full()))
	e.closeLater = append(e.closeLater, dir)
	at := fmt.Sprintf("/proc/self/fd/%d/%s", fd, n.Path[slash+1:])
	who, err := binderOf(n)
	if err != nil {
		return err
	}
	aside, err := who.moveAside(n, at, e.bound)
	if err != nil {
		return err
	}
	err = who.bind(socket, n)
	if err == nil {
		b.file, err = openSocket(at, n, who.uid())
	}
	if err == nil && n.isRenamed() {
		at, aside, err = who.rename(n, at, aside)
	}
	if err != nil || n.File == nil {
		if b.file != nil {
			err = errors.Join(err, os.Remove(at))
		}
		if aside != "" {
			err = errors.Join(err, os.Rename(aside, at))
		}
		return err
	}
	if e.bound == nil {
		e.bound = make(map[Inode]bool)
	}
	var st unix.Stat_t
	if unix.Fstat(int(b.file.Fd()), &st) == nil {
		e.bound[Inode{st.Dev, st.Ino}] = true
	}
	link := "/proc/self/fd/" + strconv.Itoa(int(b.file.Fd()))
	_ = unix.Chown(link, int(n.File.UID), int(n.File.GID)) // fails for an ordinary user, whose file it then is
	if err := unix.Chmod(link, n.File.Mode&0o7777); err != nil {
		return fmt.Errorf("chmod %s: %w", n, err)
	}
	if aside != "" {
		e.late = append(e.late, func() error {
			_ = os.Remove(aside)
			return nil
		})
	}
	e.undo.add(func() {
		_ = os.Remove(at)
		if aside != "" {
			_ = os.Rename(aside, at)
		}
	})
	return nil
}

// inUse tells whether a socket has this name now. It may miss a socket that does not listen.
func (n *UnixName) inUse() bool {
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		s, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return true
		}
		err = rawConnect(s, n)
		unix.Close(s)
		switch err {
		case unix.ECONNREFUSED, unix.ENOENT, unix.ENOTDIR:
		case unix.EPROTOTYPE: // a socket of another type
			return true
		default:
			return true
		}
	}
	return false
}

// checkName finds the obstacles that prevent a restart from giving a socket its name.
func checkName(n *UnixName) (all obstacle.List) {
	if n == nil {
		return nil
	}
	what := "Unix socket " + n.String()
	if n.withoutPlace() {
		return n.checkPlace()
	}
	if n.Path == "" {
		if n.inUse() {
			all = append(all, obstacle.Obstacle{What: what, Why: "another process has this name", Do: "end that process, or restart in another network namespace"})
		}
		return all
	}
	var several obstacle.Obstacle
	if _, err := binderOf(n); errors.As(err, &several) {
		all = append(all, several)
	}
	whole := &UnixName{Path: n.full()}
	var st unix.Stat_t
	switch err := unix.Lstat(whole.Path, &st); {
	case errors.Is(err, unix.ENOENT):
		if unix.Stat(filepath.Dir(whole.Path), &st) != nil {
			all = append(all, obstacle.Obstacle{What: what, Why: "its directory is gone", Do: "make the directory: mkdir -p " + printable.Shell(filepath.Dir(whole.Path))})
		}
	case err != nil:
		all = append(all, obstacle.Obstacle{What: what, Why: err.Error(), Do: "restart as the user who ran the program"})
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		all = append(all, obstacle.Obstacle{What: what, Why: "another file is at this path now", Do: "move that file"})
	case len(whole.Path) < unixNameMost && whole.inUse():
		all = append(all, obstacle.Obstacle{What: what, Why: "another process listens there", Do: "end that process"})
	}
	if n.isRenamed() {
		all = append(all, checkName(n.now())...)
	}
	return all
}

// inDirectory calls do in a directory. It does so on a thread of its own, so that the working directory of the process does not change.
// Files that do makes get no permissions for others than their owner.
func inDirectory(dir string, needed bool, do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this function
		err := enter(dir, needed)
		if err == nil {
			err = do()
		}
		result <- err
	}()
	return <-result
}

// enter gives the calling thread a working directory and a file mode creation mask of its own.
func enter(dir string, needed bool) error {
	err := unix.Unshare(unix.CLONE_FS)
	if err == nil {
		unix.Umask(0o777)
	}
	if err == nil && needed {
		err = unix.Chdir(dir)
	}
	if err != nil && needed {
		return fmt.Errorf("working directory %s: %w", dir, err)
	}
	return nil
}

// openSocket opens the file of a socket that crak has just bound, with O_PATH. Another user who can write to the directory may have put a
// link to somebody else's socket there. crak must not change the owner and the mode of that socket. So openSocket checks that the file
// belongs to the user who called bind(2), has one name and gives nobody a permission (inDirectory), as a new file does.
func openSocket(path string, n *UnixName, uid int) (*os.File, error) {
	fd, err := retry.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: n.String(), Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&^0o7000 != unix.S_IFSOCK || int(st.Uid) != uid || st.Nlink != 1 {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: another file has taken its place", n)
	}
	return os.NewFile(uintptr(fd), n.String()), nil
}
