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
// caller writes the content. If another file has the former name, it gets a new one. If the directory cannot be made,
// it goes to the directory for temporary files, and notice, which may be nil, is called.
func MakeUnlinked(o image.MemoryObject, notice func(string)) (*os.File, error) {
	f, err := makeUnlinked(o)
	if err != nil {
		path := filepath.Join(os.TempDir(), "crak."+random())
		if notice != nil {
			notice(fmt.Sprintf("%s: a deleted file, comes back in %s instead (%v)", o.Name, os.TempDir(), err))
		}
		f, err = createUnlinked(path)
	}
	if err != nil {
		return nil, fmt.Errorf("memory object %d: deleted file: %w", o.ID, err)
	}
	if o.Mode != 0 {
		err = unix.Fchmod(int(f.Fd()), o.Mode)
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
	made, err := makeDirs(filepath.Clean(dir))
	defer removeDirs(made)
	if err != nil {
		return nil, err
	}
	if isTmpfileName(name) {
		return openPath(filepath.Clean(dir), unix.O_TMPFILE|unix.O_RDWR, 0o600)
	}
	f, err := createUnlinked(o.Name)
	if errors.Is(err, fs.ErrExist) {
		f, err = createUnlinked(filepath.Join(dir, ".crak."+random()))
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
	if err := os.Mkdir(path, 0o700); err != nil {
		return made, err
	}
	return append(made, path), nil
}

func removeDirs(made []string) {
	for _, path := range slices.Backward(made) {
		os.Remove(path)
	}
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

// random is a name that no other file has.
func random() string {
	var b [8]byte
	if _, err := unix.Getrandom(b[:], 0); err != nil {
		panic("getrandom: " + err.Error()) // never, since Linux 3.17
	}
	return hex.EncodeToString(b[:])
}
