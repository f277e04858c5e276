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
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
)

// UnixName is the name of a Unix socket (unix(7)). Exactly one of Path and Abstract is set.
type UnixName struct {
	Path      string    `json:"path,omitempty"`      // as bind(2) got it
	Directory string    `json:"directory,omitempty"` // a relative Path starts there
	File      *UnixFile `json:"file,omitempty"`      // the file that bind(2) made; nil: it has been removed, or is another socket's now
	Abstract  string    `json:"abstract,omitempty"`  // without the zero byte that it begins with
}

// UnixFile is the file of a socket that has a path.
type UnixFile struct {
	Mode uint32 `json:"mode"` // st_mode
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
}

// unixNameMost is the size of sun_path.
const unixNameMost = 108

func (n *UnixName) String() string {
	switch {
	case n == nil:
		return "without a name"
	case n.Path == "":
		return "@" + n.Abstract
	default:
		return n.full()
	}
}

func (n *UnixName) full() string {
	if n.Directory == "" || filepath.IsAbs(n.Path) {
		return n.Path
	}
	return filepath.Join(n.Directory, n.Path)
}

// relocate changes the path of the socket's file. A relative name stays as the program has given it, and its directory changes.
func (n *UnixName) relocate(to Relocations) {
	if n != nil && n.Path != "" {
		to.path(&n.Path)
		to.path(&n.Directory)
	}
}

func (n *UnixName) check() error {
	if n == nil {
		return nil
	}
	text := n.Path
	if text == "" {
		text = "\x00" + n.Abstract
	}
	switch {
	case len(text) > unixNameMost, (n.Path == "") == (n.Abstract == ""), strings.ContainsRune(n.Path, 0):
		return errors.New("not a name of a Unix socket")
	case n.Directory != "" && !filepath.IsAbs(n.Directory):
		return fmt.Errorf("directory %q: not absolute", n.Directory)
	}
	return nil
}

// same tells whether getsockname(2) returns the same for two names.
func (n *UnixName) same(other *UnixName) bool {
	if n == nil || other == nil {
		return n == other
	}
	return n.Path == other.Path && n.Abstract == other.Abstract
}

// address is the struct sockaddr_un of a name, and its length.
func (n *UnixName) address() (unix.RawSockaddrUnix, uintptr) {
	a := unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	text := n.Path + "\x00"
	if n.Path == "" {
		text = "\x00" + n.Abstract
	}
	for i := range min(len(text), len(a.Path)) {
		a.Path[i] = int8(text[i])
	}
	return a, unsafe.Offsetof(a.Path) + uintptr(min(len(text), len(a.Path)))
}

// nameOf makes a name from the bytes of sun_path.
func nameOf(text string) *UnixName {
	switch {
	case text == "":
		return nil
	case text[0] == 0:
		return &UnixName{Abstract: text[1:]}
	default:
		path, _, _ := strings.Cut(text, "\x00")
		return &UnixName{Path: path}
	}
}

// findFile finds the file of a bound socket, by its inode. A relative path may start at the working directory of any member, or at
// a directory that a member has open.
func (n *UnixName) findFile(inode uint32, directories []string) {
	for _, dir := range directories {
		at := n.Path
		if !filepath.IsAbs(at) {
			at = dir + "/" + at
		}
		var st unix.Stat_t
		if unix.Lstat(at, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK || uint32(st.Ino) != inode {
			continue
		}
		n.File = &UnixFile{Mode: st.Mode, UID: st.Uid, GID: st.Gid}
		if !filepath.IsAbs(n.Path) {
			n.Directory, _ = os.Readlink(dir)
		}
		return
	}
}

// openDirectories are the working directories of a group and the directories that it has open, as links in /proc.
func (c *capture) openDirectories() []string {
	if c.directories != nil {
		return c.directories
	}
	for _, d := range c.members {
		c.directories = append(c.directories, d.member.Proc+"/cwd")
		for _, s := range d.all {
			if s.of.format() == unix.S_IFDIR {
				c.directories = append(c.directories, d.member.Proc+"/fd/"+strconv.Itoa(s.fd))
			}
		}
	}
	return c.directories
}

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
// at the checkpoint, bind leaves a file at the path where it is. If the restart fails, everything at the path is as before.
//
// Another user may be able to replace a directory of the path by a symbolic link. So bind opens the directory once, and renames, removes and
// changes files only there. Only bind(2) goes through the path: crak notices if the new file is not in that directory.
func (e *Env) bind(socket int, n *UnixName) (*boundName, error) {
	b := &boundName{name: n}
	if n.Path == "" {
		return b, rawBind(socket, n)
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
	fd, err := unix.Open(cmp.Or(n.Path[:slash+1], "."), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: filepath.Dir(n.full()), Err: err}
	}
	dir := os.NewFile(uintptr(fd), filepath.Dir(n.full()))
	e.closeLater = append(e.closeLater, dir)
	at := fmt.Sprintf("/proc/self/fd/%d/%s", fd, n.Path[slash+1:])
	aside, err := moveAside(n, at)
	if err != nil {
		return err
	}
	err = rawBind(socket, n)
	if err == nil {
		b.file, err = openSocket(at, n)
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

// moveAside renames a socket file that an ended process has left. at leads to it, through the open directory. moveAside returns the new
// name, or "" if nothing was there.
func moveAside(n *UnixName, at string) (string, error) {
	var st unix.Stat_t
	switch err := unix.Lstat(at, &st); {
	case errors.Is(err, unix.ENOENT):
		return "", nil
	case err != nil:
		return "", &os.PathError{Op: "stat", Path: n.String(), Err: err}
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK || n.inUse():
		return "", fmt.Errorf("%s: %w", n, unix.EADDRINUSE)
	}
	aside := fmt.Sprintf("%s.crak-%d", at, os.Getpid())
	if err := unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, aside, unix.RENAME_NOREPLACE); err != nil {
		return "", fmt.Errorf("rename %s: %w", n, err)
	}
	return aside, nil
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
	if n.Path == "" {
		if n.inUse() {
			all = append(all, obstacle.Obstacle{What: what, Why: "another process has this name", Do: "end that process, or restart in another network namespace"})
		}
		return all
	}
	whole := &UnixName{Path: n.full()}
	var st unix.Stat_t
	switch err := unix.Lstat(whole.Path, &st); {
	case errors.Is(err, unix.ENOENT):
		if unix.Stat(filepath.Dir(whole.Path), &st) != nil {
			all = append(all, obstacle.Obstacle{What: what, Why: "its directory is gone", Do: "make the directory: mkdir -p " + filepath.Dir(whole.Path)})
		}
	case err != nil:
		all = append(all, obstacle.Obstacle{What: what, Why: err.Error(), Do: "restart as the user who ran the program"})
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK:
		all = append(all, obstacle.Obstacle{What: what, Why: "another file is at this path now", Do: "move that file"})
	case len(whole.Path) < unixNameMost && whole.inUse():
		all = append(all, obstacle.Obstacle{What: what, Why: "another process listens there", Do: "end that process"})
	}
	return all
}

// inDirectory calls do in a directory. It does so on a thread of its own, so that the working directory of the process does not change.
// Files that do makes get no permissions for others than their owner.
func inDirectory(dir string, needed bool, do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with this function
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			unix.Umask(0o777)
		}
		if needed {
			if err == nil {
				err = unix.Chdir(dir)
			}
			if err != nil {
				result <- fmt.Errorf("working directory %s: %w", dir, err)
				return
			}
		}
		result <- do()
	}()
	return <-result
}

// openSocket opens the file of a socket that crak has just bound, with O_PATH. Another user who can write to the directory may have put a
// link to somebody else's socket there. crak must not change the owner and the mode of that socket. So openSocket checks that the file
// belongs to crak's user, has one name and gives nobody a permission (inDirectory), as a new file does.
func openSocket(path string, n *UnixName) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: n.String(), Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&^0o7000 != unix.S_IFSOCK || int(st.Uid) != os.Geteuid() || st.Nlink != 1 {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: another file has taken its place", n)
	}
	return os.NewFile(uintptr(fd), n.String()), nil
}

// An addressed has an address to which a socket can connect.
type addressed interface {
	address() (unix.RawSockaddrUnix, uintptr)
}

// connectNow connects a socket. It fails with EAGAIN where connect(2) would wait for a place in the queue of a listening socket.
func connectNow(socket int, to addressed) error {
	if err := unix.SetNonblock(socket, true); err != nil {
		return err
	}
	return errors.Join(rawConnect(socket, to), unix.SetNonblock(socket, false))
}

func rawConnect(socket int, to addressed) error {
	a, length := to.address()
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(socket), uintptr(unsafe.Pointer(&a)), length)
	if errno != 0 {
		return errno
	}
	return nil
}

func rawBind(socket int, n *UnixName) error {
	a, length := n.address()
	_, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(socket), uintptr(unsafe.Pointer(&a)), length)
	if errno != 0 {
		return fmt.Errorf("bind %s: %w", n, errno)
	}
	return nil
}
