package fd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/rights"
)

// A binder is the user with whose rights a restart binds a socket to a path. bind(2) goes through the whole path, and the kernel can follow
// a symbolic link there that another user has made. So a restart by root does it as the user who could have made such a link: that leads
// only to where this user may make files.
type binder struct {
	user *rights.User // nil: crak's own rights
}

// nobody is a user who owns no files.
const nobody = 65534

// binderOf returns crak's own rights if crak is not root, or if only root can change where the path leads. Otherwise it returns the user who
// can change that. For a group it returns a user who has nothing but this group. If several can change it, there is none whose rights all of
// them have: binderOf returns an error.
func binderOf(n *UnixName) (binder, error) {
	if os.Geteuid() != 0 {
		return binder{}, nil
	}
	dir := n.Path[:strings.LastIndexByte(n.Path, '/')+1]
	if !filepath.IsAbs(dir) {
		dir = n.Directory + "/" + dir
	}
	all, err := image.Changers(dir)
	switch {
	case err != nil || len(all) == 0:
		return binder{}, err
	case len(all) > 1:
		return binder{}, obstacle.Obstacle{What: "Unix socket " + n.String(),
			Why: "several users or groups can change a directory of its path: root's crak cannot tell where it leads",
			Do:  "chmod g-w,o-w the directories that do not belong to the program's user"}
	case all[0].Group:
		gid := all[0].ID
		return binder{&rights.User{UID: [3]uint32{nobody, nobody, nobody}, GID: [3]uint32{gid, gid, gid}}}, nil
	}
	u := rights.OfAccount(all[0].ID, nobody) // a user whom the system does not know has no group
	return binder{&u}, nil
}

func (b binder) uid() int {
	if b.user == nil {
		return os.Geteuid()
	}
	return int(b.user.UID[1])
}

// as calls a function with the rights of the binder.
func (b binder) as(do func() error) error {
	if b.user == nil {
		return do()
	}
	return b.user.Do(do)
}

// do does so in the directory of a name, in another thread. Preconditions: the caller is in the directory of the socket (inDirectory).
func (b binder) do(n *UnixName, do func() error) error {
	if b.user == nil {
		return do()
	}
	return b.user.Do(func() error {
		if err := enter(n.Directory, !filepath.IsAbs(n.Path)); err != nil {
			return err
		}
		return do()
	})
}

func (b binder) bind(socket int, n *UnixName) error {
	err := b.do(n, func() error { return rawBind(socket, n) })
	if err != nil && b.user != nil {
		return fmt.Errorf("%w, with the rights of user %d and group %d, who can change a directory of this path", err, b.uid(), b.user.GID[0])
	}
	return err
}

// moveAside renames a socket file that an ended process has left. at leads to it, through the open directory. moveAside returns the new
// name, or "" if nothing was there. If n needs its path for a moment only, the file may also be one that this restart has bound before.
func (b binder) moveAside(n *UnixName, at string, bound map[Inode]bool) (string, error) {
	var st unix.Stat_t
	switch err := unix.Lstat(at, &st); {
	case errors.Is(err, unix.ENOENT):
		return "", nil
	case err != nil:
		return "", &os.PathError{Op: "stat", Path: n.String(), Err: err}
	case st.Mode&unix.S_IFMT == unix.S_IFSOCK && bound[Inode{st.Dev, st.Ino}] && (n.File == nil || n.isRenamed()):
	case st.Mode&unix.S_IFMT != unix.S_IFSOCK || n.inUse():
		return "", fmt.Errorf("%s: %w", n, unix.EADDRINUSE)
	}
	aside := fmt.Sprintf("%s.crak-%d", at, os.Getpid())
	err := b.do(n, func() error {
		return renameNew(at, aside)
	})
	if err != nil {
		return "", fmt.Errorf("rename %s: %w", n, err)
	}
	return aside, nil
}
