package fd

import (
	"errors"

	"golang.org/x/sys/unix"
)

// renameNew renames a socket file, and fails with EEXIST if the new name exists. Not every file system can do that in one step: NFS, Ceph and
// 9p refuse RENAME_NOREPLACE with EINVAL. There renameNew makes a second name, which replaces no file either, and removes the first one. If
// the file system has no second names, renameNew looks whether the new name exists, and renames.
func renameNew(from, to string) error {
	return renameWith(from, to, func(from, to string) error {
		return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	}, unix.Link)
}

// renameWith is renameNew with the system calls that not every file system has.
func renameWith(from, to string, rename, link func(from, to string) error) error {
	err := rename(from, to)
	if err != unix.EINVAL && err != unix.ENOSYS {
		return err
	}
	switch err := link(from, to); err {
	case nil:
		if err := unix.Unlink(from); err != nil {
			return errors.Join(err, unix.Unlink(to))
		}
		return nil
	case unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS, unix.EMLINK, unix.EINVAL: // EPERM is also what fs.protected_hardlinks gives (proc(5))
	default:
		return err
	}
	var st unix.Stat_t
	switch err := unix.Lstat(to, &st); err {
	case nil:
		return unix.EEXIST
	case unix.ENOENT:
		return unix.Rename(from, to)
	default:
		return err
	}
}
