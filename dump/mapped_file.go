package dump

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/retry"
)

// files identifies the files behind mappings, each file once. It resolves paths from the program's root directory, in the
// program's mount namespace. The members of a group usually have the same root directory and the same libraries, so they share files.
type files struct {
	root  int // descriptor of that directory, or -1
	at    rootDirectory
	known map[mappedAs]found
	names map[string]named // executables
}

// named is what is at a path.
type named struct {
	unix.Stat_t
	err error
}

// A rootDirectory is one in all mount namespaces: each mount has an ID of its own.
type rootDirectory struct {
	mount uint64 // 0: not known
	inode fd.Inode
}

// mappedAs is what /proc/PID/maps shows of a file.
type mappedAs struct {
	inode   fd.Inode
	path    string
	deleted bool
	shared  bool // the mapping is shared
}

// found is a file, or the reason why the file cannot be identified.
type found struct {
	file image.File
	why  obstacle.Obstacle // What is empty if the file was identified
}

// newFiles has no root directory yet.
func newFiles() *files { return &files{root: -1} }

// enter makes the root directory of a member the one from which paths are resolved. What is known stays known if it is the same.
func (f *files) enter(m *Member) error {
	path := m.path("root")
	var st unix.Statx_t
	var at rootDirectory
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_INO|unix.STATX_MNT_ID, &st) == nil && st.Mask&unix.STATX_MNT_ID != 0 { // Linux 5.8
		at = rootDirectory{st.Mnt_id, fd.Inode{Device: unix.Mkdev(st.Dev_major, st.Dev_minor), Number: st.Ino}}
	}
	if f.root >= 0 && at.mount != 0 && at == f.at {
		return nil
	}
	f.close()
	root, err := retry.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	f.root, f.at, f.known, f.names = root, at, make(map[mappedAs]found), make(map[string]named)
	return nil
}

func (f *files) close() {
	if f.root >= 0 {
		unix.Close(f.root)
		f.root = -1
	}
}

// stat calls fstatat(2) for a path that the kernel has shown. It does not follow a symbolic link at the end of the path: the
// link leads to another file.
func (f *files) stat(path string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(f.root, strings.TrimPrefix(path, "/"), &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

// named is stat(2) of a path.
func (f *files) named(path string) (unix.Stat_t, error) {
	n, known := f.names[path]
	if !known {
		n.err = unix.Fstatat(f.root, strings.TrimPrefix(path, "/"), &n.Stat_t, 0)
		f.names[path] = n
	}
	return n.Stat_t, n.err
}

// mappedFile identifies the file behind a mapping. A private mapping of a deleted file can be saved like other memory. A
// shared mapping can be saved so only if no other process can open the file, that is, if the file has no name left.
func (m *Member) mappedFile(e proc.SmapsEntry) found {
	key := mappedAs{inodeOf(e), e.Path, e.Deleted, e.Shared}
	result, known := m.files.known[key]
	if !known {
		result = m.findFile(e)
		m.files.known[key] = result
	}
	return result
}

func (m *Member) findFile(e proc.SmapsEntry) found {
	names := []string{e.Path}
	if e.Deleted { // or the file's name itself ends with " (deleted)"
		names = []string{e.Path + " (deleted)", e.Path}
	}
	for _, name := range names {
		st, err := m.files.stat(name)
		switch {
		case err == nil && isBehind(&st, e):
			return found{file: fileOf(name, &st)}
		case err != nil && !isAbsent(err):
			return found{why: obstacle.Obstacle{
				What: fmt.Sprintf("mapping of %q", name),
				Why:  fmt.Sprintf("the file cannot be accessed: %v", err),
				Do:   "give the user who makes the checkpoint access to every directory of this path",
			}}
		}
	}
	lost := found{file: image.File{Path: e.Path, Device: e.Device(), Inode: e.Inode, Mode: unix.S_IFREG, Deleted: true}}
	if !e.Shared || m.Table.HasSource(m.Table.Known(inodeOf(e))) { // an open descriptor has shown that no name is left
		return lost
	}
	if !e.Deleted {
		return found{why: obstacle.Obstacle{
			What: fmt.Sprintf("shared mapping of %q", e.Path),
			Why:  "there is another file, or no file, at this path",
			Do:   "undo the mount that hides it, or unmap the file before the checkpoint",
		}}
	}
	if name, st := m.files.otherName(e); name != "" {
		return found{file: fileOf(name, st)}
	}
	if links, err := m.links(e); err == nil && links > 0 {
		return found{why: obstacle.Obstacle{
			What: fmt.Sprintf("shared mapping of %q", e.Path+" (deleted)"),
			Why:  "the file was deleted under this name, but it has another name that CRAK cannot find",
			Do:   "unmap it before the checkpoint, or make the name again with ln",
		}}
	}
	return lost
}

func inodeOf(e proc.SmapsEntry) fd.Inode { return fd.Inode{Device: e.Device(), Number: e.Inode} }

func fileOf(path string, st *unix.Stat_t) image.File {
	return image.File{Path: path, Device: st.Dev, Inode: st.Ino, Mode: st.Mode, UID: st.Uid, Size: st.Size, MtimeNs: st.Mtim.Nano()}
}

// isAbsent reports whether err means that no file has this name. A name that is too long cannot be the name of a file.
func isAbsent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENAMETOOLONG)
}

func isBehind(st *unix.Stat_t, e proc.SmapsEntry) bool {
	return st.Ino == e.Inode && sameDevice(st.Dev, e)
}

// sameDevice compares st_dev with the device in /proc/PID/maps. On overlayfs and btrfs the two differ, but both are
// anonymous devices, which have major number 0.
func sameDevice(dev uint64, e proc.SmapsEntry) bool {
	return dev == e.Device() || unix.Major(dev) == 0 && e.Major == 0
}

// links is the number of names that a mapped file has. It needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN (proc(5),
// map_files).
func (m *Member) links(e proc.SmapsEntry) (uint64, error) {
	h, err := fd.TakePath(m.path(fmt.Sprintf("map_files/%x-%x", e.Start, e.End)))
	if err != nil {
		return 0, err
	}
	defer h.Close()
	st, err := h.Stat()
	if err == nil && !isBehind(&st, e) {
		err = unix.ESTALE
	}
	return uint64(st.Nlink), err
}

// otherName looks for another name of a file in the directory of its deleted name.
func (f *files) otherName(e proc.SmapsEntry) (string, *unix.Stat_t) {
	dir := filepath.Dir(e.Path)
	name, st := fd.OtherName(fmt.Sprintf("/proc/self/fd/%d/.%s", f.root, dir), e.Inode, func(st *unix.Stat_t) bool { return isBehind(st, e) })
	if st == nil {
		return "", nil
	}
	return filepath.Join(dir, name), st
}
