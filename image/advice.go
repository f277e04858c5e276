package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
)

// chooseAnother is the hint for a directory in which no image can be made.
const chooseAnother = "choose another directory: crak checkpoint --output, or CRAK_DIR or crak run --dir when the program is started"

// Advised is an error of the file system with an explanation. It is found as an obstacle.Obstacle and as the error itself.
type Advised struct {
	obstacle.Obstacle
	err error
}

// Unwrap returns both.
func (a Advised) Unwrap() []error { return []error{a.Obstacle, a.err} }

// advise adds what to do to an error of the file system on the way to an image.
func advise(err error) error {
	var errno unix.Errno
	if known := (obstacle.Obstacle{}); err == nil || errors.As(err, &known) || !errors.As(err, &errno) {
		return err
	}
	why, do := "", chooseAnother
	switch errno {
	case unix.EACCES, unix.EPERM:
		why = whoseDirectory(err)
	case unix.ENOENT, unix.ENOTDIR, unix.EROFS, unix.ELOOP, unix.ENAMETOOLONG:
	case unix.ENOSPC, unix.EDQUOT:
		do = "make room, or " + chooseAnother
	case unix.EFBIG:
		do = "raise the limit of the size of files (ulimit -f)"
	case unix.EMFILE:
		do = "raise the limit of descriptors (ulimit -n)"
	default:
		return err
	}
	what := strings.TrimSuffix(err.Error(), ": "+errno.Error())
	return Advised{obstacle.Obstacle{What: what, Why: errno.Error() + why, Do: do}, err}
}

// whoseDirectory tells the owner and the mode of the directory that refuses an access: the nearest directory above the path of the
// error whose attributes crak can read.
func whoseDirectory(err error) string {
	var at *fs.PathError
	if !errors.As(err, &at) || !filepath.IsAbs(at.Path) {
		return ""
	}
	for dir := filepath.Dir(at.Path); ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if unix.Stat(dir, &st) == nil {
			return fmt.Sprintf(": the directory %s belongs to user %d and has mode %04o, and crak is user %d", dir, st.Uid, st.Mode&0o7777, os.Geteuid())
		}
		if dir == "/" {
			return ""
		}
	}
}
