package image

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/retry"
)

// openFile opens a file of the image. It must be a regular file that belongs to the caller or root, and that no other user can
// write to.
func (i *Image) openFile(name string) (*os.File, int64, error) {
	fd, err := retry.Openat(int(i.dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
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
	if err == nil && !i.handed {
		err = trusted(fd, &st)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size, nil
}

// trusted refuses a file that another user owns or can write to.
func trusted(fd int, st *unix.Stat_t) error {
	uid := uint32(os.Geteuid())
	if st.Uid != uid && st.Uid != 0 {
		return fmt.Errorf("belongs to user %d, not to user %d or root", st.Uid, uid)
	}
	if who := othersWrite(fd, st, uid); who != "" {
		return fmt.Errorf("%s can write to it", who)
	}
	return nil
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

// match compares the size and sum of a file with those in the manifest.
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
