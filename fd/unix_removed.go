package fd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/printable"
)

// withoutPlace tells whether the directory of the name need not exist. The socket had no file at the checkpoint. So its path is needed only
// while bind(2) is called, and crak makes what is missing.
func (n *UnixName) withoutPlace() bool {
	if n.Path == "" || n.File != nil {
		return false
	}
	return !filepath.IsAbs(n.Path) || !isDirectory(n.dir()) && filepath.Clean(n.Path) == n.Path
}

// dir is the directory of the path, as bind(2) goes to it.
func (n *UnixName) dir() string { return n.Path[:strings.LastIndexByte(n.Path, '/')+1] }

func isDirectory(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// makePlace makes the directory of the name. Call remove afterwards. A relative name gets an empty directory in which it starts. It returns
// the name with this directory.
func (n *UnixName) makePlace() (placed *UnixName, remove func(), err error) {
	other := *n
	if !filepath.IsAbs(n.Path) {
		base, err := os.MkdirTemp("", "crak")
		if err != nil {
			return nil, nil, err
		}
		remove := func() { os.RemoveAll(base) }
		// Each ".." of the path needs a directory above the one in which it starts.
		other.Directory = base + strings.Repeat("/d", 1+strings.Count(n.Path, ".."))
		if err := os.MkdirAll(other.Directory+"/"+n.dir(), 0o700); err != nil {
			remove()
			return nil, nil, err
		}
		return &other, remove, nil
	}
	who, err := binderOf(&UnixName{Path: existing(n.dir()) + "/"})
	if err != nil {
		return nil, nil, err
	}
	var made []string
	remove = func() {
		_ = who.as(func() error {
			removeDirs(made)
			return nil
		})
	}
	err = who.as(func() (err error) {
		made, err = makeDirs(filepath.Dir(n.Path))
		return err
	})
	if err != nil {
		remove()
		return nil, nil, err
	}
	return &other, remove, nil
}

// existing is the part of an absolute path that exists.
func existing(path string) string {
	var st unix.Stat_t
	for path = filepath.Clean(path); path != "/" && errors.Is(unix.Lstat(path, &st), fs.ErrNotExist); {
		path = filepath.Dir(path)
	}
	return path
}

// checkPlace finds the obstacle that prevents a restart from making the directory.
func (n *UnixName) checkPlace() obstacle.List {
	if filepath.IsAbs(n.Path) {
		above := existing(n.dir())
		if err := unix.Faccessat(unix.AT_FDCWD, above, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
			return obstacle.List{{What: "Unix socket " + n.String(), Why: "its directory is gone, and crak cannot make one in " + above + ": " + err.Error(),
				Do: "make the directory: mkdir -p " + printable.Shell(filepath.Dir(n.Path))}}
		}
	}
	return nil
}

// isRenamed tells whether the file has another name than bind(2) gave it.
func (n *UnixName) isRenamed() bool { return n.File != nil && n.File.Renamed != "" }

// now is the name that the file has. Preconditions: isRenamed.
func (n *UnixName) now() *UnixName {
	file := *n.File
	file.Renamed = ""
	return &UnixName{Path: n.dir() + n.File.Renamed, Directory: n.Directory, File: &file}
}

// rename gives a file that was just bound the name that it had at the checkpoint, and puts back what was at its first name. at leads to the
// first name. aside is the file that moveAside has moved from there, or "". rename returns the same two for the new name. Preconditions: as
// for do.
func (b binder) rename(n *UnixName, at, aside string) (nowAt, nowAside string, err error) {
	now := n.now()
	nowAt = filepath.Join(filepath.Dir(at), n.File.Renamed)
	if nowAside, err = b.moveAside(now, nowAt, nil); err != nil {
		return at, aside, err
	}
	move := func(from, to string) error {
		if from == "" {
			return nil
		}
		return b.do(n, func() error { return renameNew(from, to) })
	}
	if err := move(at, nowAt); err != nil {
		return at, aside, errors.Join(fmt.Errorf("rename %s to %s: %w", n, now, err), move(nowAside, nowAt))
	}
	return nowAt, nowAside, move(aside, at)
}

// findMoved asks the kernel where the file of a socket is that was not found. It needs CAP_NET_ADMIN. Without it, CRAK cannot tell whether the
// file was removed or moved to another directory.
func (c *capture) findMoved(o *open, r *UnixSocket) error {
	if o.member.Calls == nil || c.handles.take(o) != nil || o.swapped {
		return nil
	}
	defer o.release()
	if !o.handle.asks() {
		return nil
	}
	const siocUnixFile = 0x89e0 // SIOCUNIXFILE (linux/un.h), since Linux 4.12
	fd, err := unix.IoctlRetInt(o.handle.fd, siocUnixFile)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Nlink == 0 {
		return nil
	}
	var at unix.Stat_t
	if unix.Lstat(joined(r.Name.Directory, r.Name.Path), &at) == nil && at.Ino == st.Ino && at.Dev == st.Dev { // overlayfs has several numbers for an inode
		r.Name.File = &UnixFile{Mode: st.Mode, UID: st.Uid, GID: st.Gid}
		return nil
	}
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil
	}
	return unixObstacle(o, "its file was moved to another directory after bind(2), or has a second name: "+path)
}
