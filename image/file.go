package image

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// openFile opens a file of the image, which must be a regular one of ours.
func (i *Image) openFile(name string) (*os.File, int64, error) {
	fd, err := unix.Openat(int(i.dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err == unix.ELOOP {
		return nil, 0, errors.New("is a symlink")
	}
	if err == unix.ENOENT {
		return nil, 0, fmt.Errorf("missing: %w", fs.ErrNotExist)
	}
	if err != nil {
		return nil, 0, err
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("not a regular file")
	}
	if err == nil {
		err = ownedByUs(f, true)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size, nil
}

// readSmall reads a whole file of at most limit bytes.
func (i *Image) readSmall(name string, limit int64) ([]byte, error) {
	f, size, err := i.openFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%d bytes: more than %d", size, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// match compares a file with what the manifest says of it.
func (f FileSum) match(size int64, sum []byte) error {
	if err := f.matchSize(size); err != nil {
		return err
	}
	if hex.EncodeToString(sum) != f.SHA256 {
		return fmt.Errorf("damaged: SHA-256 is not the one in %s", manifestFile)
	}
	return nil
}

func (f FileSum) matchSize(size int64) error {
	switch {
	case size < f.Size:
		return fmt.Errorf("truncated: %d bytes of %d", size, f.Size)
	case size > f.Size:
		return fmt.Errorf("%d bytes too many", size-f.Size)
	}
	return nil
}
