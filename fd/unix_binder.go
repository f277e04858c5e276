package fd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/rights"
)

// A binder is the user with whose rights a restart binds a socket to a path. bind(2) goes through the whole path, and the kernel can follow
// a symbolic link there that another user has made. So a restart by root does it as the user who could have made such a link: that leads
// only to where this user may make files.
type binder struct {
	user *rights.User // nil: crak's own rights
}

// binderOf returns crak's own rights if crak is not root, or if only root can change the directories of the path. Otherwise it returns the
// owner of the innermost directory, or symbolic link, that is not root's.
func binderOf(n *UnixName) binder {
	dir := filepath.Dir(n.full())
	var top unix.Stat_t
	if os.Geteuid() != 0 || image.CheckDirectory(dir) == nil || unix.Stat("/", &top) != nil {
		return binder{}
	}
	for ; dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		for _, look := range []func(string, *unix.Stat_t) error{unix.Stat, unix.Lstat} {
			var st unix.Stat_t
			if look(dir, &st) == nil && st.Uid != 0 && st.Uid != top.Uid {
				u := rights.OfAccount(st.Uid, st.Gid)
				return binder{&u}
			}
		}
	}
	return binder{}
}

func (b binder) uid() int {
	if b.user == nil {
		return os.Geteuid()
	}
	return int(b.user.UID[1])
}

// do calls a function with the rights of the binder. Preconditions: the caller is in the directory of the socket (inDirectory).
func (b binder) do(n *UnixName, do func() error) error {
	if b.user == nil {
		return do()
	}
	return b.user.Do(func() error { // in another thread
		if err := enter(n.Directory, !filepath.IsAbs(n.Path)); err != nil {
			return err
		}
		return do()
	})
}

func (b binder) bind(socket int, n *UnixName) error {
	err := b.do(n, func() error { return rawBind(socket, n) })
	if err != nil && b.user != nil {
		return fmt.Errorf("%w, as user %d, who can change a directory of this path", err, b.uid())
	}
	return err
}

// moveAside renames a socket file that an ended process has left. at leads to it, through the open directory. moveAside returns the new
// name, or "" if nothing was there.
func (b binder) moveAside(n *UnixName, at string) (string, error) {
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
	err := b.do(n, func() error {
		return unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, aside, unix.RENAME_NOREPLACE)
	})
	if err != nil {
		return "", fmt.Errorf("rename %s: %w", n, err)
	}
	return aside, nil
}
