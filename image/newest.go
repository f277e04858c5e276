package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"crak.dev/crak/internal/cause"
)

// ErrNone means that there is no image, not even a damaged one.
var ErrNone = errors.New("no image is there")

// Newest is the path of the image under dir (a CRAK_DIR) that was made last, of whatever program. If there is no image, the error
// is ErrNone. If an image of the caller has no manifest, or one that cannot be read, the error is an *Error: to skip this image
// would lose the work in it. Entries of other users are skipped, with a notice.
func Newest(dir string, notice func(string)) (path string, err error) {
	names, err := programs(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: %w", dir, ErrNone)
	}
	if err != nil {
		return "", err
	}
	var best *Manifest
	for _, name := range names {
		i := &Image{Path: filepath.Join(dir, name)}
		ours, err := i.openProgram(dir, name)
		if err == nil {
			err = i.readManifest()
		}
		i.Close()
		switch {
		case err == errNoImage:
		case err != nil && !ours:
			notice(fmt.Sprintf("passed over: %v", &Error{i.Path, "", cause.Of(err)}))
		case err != nil:
			return "", &Error{i.Path, manifestFile, cause.Of(err)}
		case best == nil || i.Manifest.Created.After(best.Created):
			best, path = i.Manifest, i.Path
		}
	}
	if best == nil {
		return "", fmt.Errorf("%s: %w", dir, ErrNone)
	}
	return path, nil
}

// programs are the names in a directory that DirName may have made.
func programs(dir string) (names []string, err error) {
	w, err := newPathWalk(dir, true)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if who := w.othersWrite(); who != "" && !w.sticky() {
		return nil, w.writable(who)
	}
	f, err := w.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	for _, e := range entries {
		if e.IsDir() && isDirName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// openProgram opens the newest image in the program directory of that name, and tells whether the directory is ours.
func (i *Image) openProgram(dir, name string) (ours bool, err error) {
	w, err := newPathWalk(dir, true)
	if err != nil {
		return true, err
	}
	defer w.close()
	if err := w.enter(name); err != nil {
		return !errors.As(err, new(Foreign)), err
	}
	return int(w.st.Uid) == os.Geteuid(), i.openBelow(w)
}

// isDirName tells what DirName may have made.
func isDirName(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	_, ok := sequenceOf(name[dot+1:])
	return dot > 0 && ok
}
