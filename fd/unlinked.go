package fd

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// isTmpfileName tells whether a name is one that the kernel shows for a file of O_TMPFILE: '#' and its inode number.
func isTmpfileName(name string) bool {
	digits, ok := strings.CutPrefix(name, "#")
	_, err := strconv.ParseUint(digits, 10, 64)
	return ok && err == nil
}

// MakeUnlinked makes the file of a memory object of kind image.MemoryFile. The file is empty, open for reading and
// writing, and has no name. It is in its former directory, so that /proc shows its former name and "(deleted)". The
// caller writes the content, and then calls OwnUnlinked. If another file has the former name, it gets a new one. If the directory cannot be made,
// it goes to the directory for temporary files, with a notice.
func (e *Env) MakeUnlinked(o image.MemoryObject) (*os.File, error) {
	f, err := unlinked(o.Name, func(dir *os.File, name string) (*os.File, error) { return e.createUnlinked(dir, name, o.ID) }, e.Tell)
	if err != nil {
		return nil, fmt.Errorf("memory object %d: deleted file: %w", o.ID, err)
	}
	if err = f.Truncate(int64(o.Size)); err != nil {
		f.Close()
		return nil, fmt.Errorf("memory object %d: deleted file %s: %w", o.ID, o.Name, err)
	}
	return f, nil
}

// OwnUnlinked gives a file of MakeUnlinked its owner and its mode. The content is written by now: a write would clear the set-user-ID bit.
func OwnUnlinked(f *os.File, o image.MemoryObject) error {
	if o.Mode == 0 {
		return nil
	}
	if o.Owner != nil {
		_ = unix.Fchown(int(f.Fd()), int(o.Owner.UID), int(o.Owner.GID)) // fails for an ordinary user, and in a user namespace without this user
	}
	return setMode(f, o.Mode, o.Owner)
}

// setMode sets the mode of a file that crak restart has made or changed. If the file does not belong to the user to whom it belonged, it
// gets no set-user-ID bit: its content is the program's, and whoever executes it would become crak's user. The same holds for the group.
func setMode(f *os.File, mode uint32, was *image.FileOwner) error {
	link := "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) // works for a descriptor of O_PATH, too
	var st unix.Stat_t
	if err := unix.Stat(link, &st); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if was == nil || st.Uid != was.UID {
		mode &^= unix.S_ISUID
	}
	if was == nil || st.Gid != was.GID {
		mode &^= unix.S_ISGID
	}
	if err := unix.Chmod(link, mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	return nil
}

// RemovedDirectory makes a directory and removes it, for a process whose working directory has been removed. If it cannot be made at its
// path, it goes to the directory for temporary files, and notice is called.
func RemovedDirectory(path string, notice func(string)) (*os.File, error) {
	return unlinked(path, createUnlinkedDirectory, notice)
}

// A creator makes a file in a directory, and removes its name at once.
type creator func(dir *os.File, name string) (*os.File, error)

// unlinked makes a file of any type that has no name, in the directory of its former path.
func unlinked(path string, create creator, notice func(string)) (*os.File, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%q: not an absolute path", path)
	}
	f, err := unlinkedAt(path, create)
	if err == nil {
		return f, nil
	}
	if notice != nil {
		notice(fmt.Sprintf("%s: a deleted file, comes back in %s instead (%v)", path, os.TempDir(), err))
	}
	temporary, err := os.Open(os.TempDir())
	if err != nil {
		return nil, err
	}
	defer temporary.Close()
	return create(temporary, "crak."+random())
}

func unlinkedAt(path string, create creator) (*os.File, error) {
	made, err := makeDirs(filepath.Dir(path))
	defer removeDirs(made)
	if err != nil {
		return nil, err
	}
	dir, err := OpenDirectory(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := create(dir, filepath.Base(path))
	if errors.Is(err, fs.ErrExist) {
		f, err = create(dir, ".crak."+random())
	}
	return f, err
}

// makeDirs makes the missing directories of a path, outermost first. They are needed only until the file in them has
// been unlinked.
func makeDirs(path string) (made []string, err error) {
	if _, err := os.Lstat(path); err == nil || path == "/" || path == "." {
		return nil, nil
	}
	if made, err = makeDirs(filepath.Dir(path)); err != nil {
		return made, err
	}
	dir, err := OpenDirectory(filepath.Dir(path)) // another user may have put a symbolic link there
	if err != nil {
		return made, err
	}
	defer dir.Close()
	if err := unix.Mkdirat(int(dir.Fd()), filepath.Base(path), 0o700); err != nil {
		return made, &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return append(made, path), nil
}

func removeDirs(made []string) {
	for _, path := range slices.Backward(made) {
		if dir, err := OpenDirectory(filepath.Dir(path)); err == nil {
			_ = unix.Unlinkat(int(dir.Fd()), filepath.Base(path), unix.AT_REMOVEDIR) // never a file that another user has put there
			dir.Close()
		}
	}
}

// createUnlinked makes a regular file. A file of O_TMPFILE has no name from the start.
func (e *Env) createUnlinked(dir *os.File, name string, id image.MemoryID) (*os.File, error) {
	if isTmpfileName(name) {
		return e.tmpfiles.create(dir, id)
	}
	f, err := openIn(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return withoutName(f, dir, name, 0, nil)
}

func createUnlinkedFIFO(dir *os.File, name string) (*os.File, error) {
	if err := unix.Mknodat(int(dir.Fd()), name, unix.S_IFIFO|0o600, 0); err != nil {
		return nil, &os.PathError{Op: "mkfifo", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	f, err := openNew(dir, name, unix.O_RDWR, unix.S_IFIFO)
	return withoutName(f, dir, name, 0, err)
}

func createUnlinkedDirectory(dir *os.File, name string) (*os.File, error) {
	if err := unix.Mkdirat(int(dir.Fd()), name, 0o700); err != nil {
		return nil, &os.PathError{Op: "mkdir", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	f, err := openNew(dir, name, unix.O_RDONLY|unix.O_DIRECTORY, unix.S_IFDIR)
	return withoutName(f, dir, name, unix.AT_REMOVEDIR, err)
}

// openNew opens a file that crak has just made by its name. Another user who can write to the directory may have put another file there: a
// FIFO out of which this user would read the program's bytes. So the file must belong to crak's user.
func openNew(dir *os.File, name string, flags, format uint32) (*os.File, error) {
	f, err := openIn(dir, name, flags, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Mode&unix.S_IFMT != format || !isOurs(&st) {
		f.Close()
		return nil, fmt.Errorf("%s: another file has taken its place", f.Name())
	}
	return f, nil
}

// withoutName removes the name of a new file. The file is open as f, unless err says why it could not be opened. flags are those of
// unlinkat(2). If another user has given the name to another file meanwhile, f still has a name, and withoutName returns an error.
func withoutName(f, dir *os.File, name string, flags int, err error) (*os.File, error) {
	path := filepath.Join(dir.Name(), name)
	if failed := unix.Unlinkat(int(dir.Fd()), name, flags); err == nil && failed != nil {
		err = &os.PathError{Op: "unlink", Path: path, Err: failed}
	}
	if err == nil {
		link, failed := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
		if failed != nil || !strings.HasSuffix(link, "/"+name+deletedMark) {
			err = fmt.Errorf("%s: another file has taken its place", path)
		}
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, err
	}
	return f, nil
}

// random is a name that no other file has.
func random() string {
	var b [8]byte
	if _, err := unix.Getrandom(b[:], 0); err != nil {
		panic("getrandom: " + err.Error()) // never, since Linux 3.17
	}
	return hex.EncodeToString(b[:])
}
