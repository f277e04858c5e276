package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrNone means that there is no image, nor anything that was one.
var ErrNone = errors.New("no image is there")

// Newest is the path of the image under dir (a CRAK_DIR) that was made last, of whatever program.
// Where there is none, the error is ErrNone. An image whose manifest is not there or cannot be read is an
// *Error: to pass it over would be to lose what it holds.
func Newest(dir string) (path string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: %w", dir, ErrNone)
	}
	if err != nil {
		return "", err
	}
	var best *Manifest
	for _, e := range entries {
		if !e.IsDir() || !isDirName(e.Name()) {
			continue
		}
		i := &Image{Path: filepath.Join(dir, e.Name())}
		err := i.openDir()
		if err == errNoImage {
			i.Close()
			continue
		}
		if err == nil {
			err = i.readManifest()
		}
		i.Close()
		if err != nil {
			return "", &Error{i.Path, manifestFile, plainError(err)}
		}
		if best == nil || i.Manifest.Created.After(best.Created) {
			best, path = i.Manifest, i.Path
		}
	}
	if best == nil {
		return "", fmt.Errorf("%s: %w", dir, ErrNone)
	}
	return path, nil
}

// isDirName tells what DirName may have made.
func isDirName(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	_, ok := sequenceOf(name[dot+1:])
	return dot > 0 && ok
}
