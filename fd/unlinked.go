package fd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// tmpfileName is how the kernel calls a file of O_TMPFILE: '#' and its inode number.
var tmpfileName = regexp.MustCompile(`^#[0-9]+$`)

// MakeUnlinked makes the file of a memory object of kind image.MemoryFile: empty, open for reading and writing, without
// a name, in the directory where it was, so that /proc shows it under its old name as "(deleted)". Its content is
// the caller's to write. Where the old name is taken, or the directory is gone, it gets another; notice, which may be nil, is told.
func MakeUnlinked(o image.MemoryObject, notice func(string)) (*os.File, error) {
	f, err := makeUnlinked(o)
	if err != nil {
		path := filepath.Join(os.TempDir(), "crak."+rand.Text())
		if notice != nil {
			notice(fmt.Sprintf("%s: a deleted file, comes back in %s instead (%v)", o.Name, os.TempDir(), err))
		}
		f, err = createUnlinked(path)
	}
	if err != nil {
		return nil, fmt.Errorf("memory object %d: deleted file: %w", o.ID, err)
	}
	if o.Mode != 0 {
		err = unix.Fchmod(int(f.Fd()), o.Mode|0o600)
	}
	if err == nil {
		err = f.Truncate(int64(o.Size))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("memory object %d: deleted file %s: %w", o.ID, o.Name, err)
	}
	return f, nil
}

func makeUnlinked(o image.MemoryObject) (*os.File, error) {
	dir, name := filepath.Split(o.Name)
	if tmpfileName.MatchString(name) {
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: dir, Err: err}
		}
		return os.NewFile(uintptr(fd), o.Name), nil
	}
	f, err := createUnlinked(o.Name)
	if errors.Is(err, fs.ErrExist) {
		f, err = createUnlinked(filepath.Join(dir, ".crak."+rand.Text()))
	}
	return f, err
}

// createUnlinked makes a new file and removes its name at once.
func createUnlinked(path string) (*os.File, error) {
	f, err := openPath(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
