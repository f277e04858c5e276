package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// lookBelow is the error for a directory without images. Perhaps it contains the directories of several programs.
func lookBelow(dir string) error {
	newest, err := Newest(dir, func(string) {})
	if err != nil {
		return errNoImage
	}
	return fmt.Errorf("holds the images of programs, each in a directory of its own; the newest is %s", newest)
}

var errNoImage = errors.New("neither an image nor a directory with images")

// openDir opens the image's directory, and goes down into it from the program's.
func (i *Image) openDir() error {
	w, err := newPathWalk(i.Path, true)
	if err != nil {
		return err
	}
	defer w.close()
	return i.openBelow(w)
}

// openBelow opens the directory that a walk is at, or the newest image in it.
func (i *Image) openBelow(w *pathWalk) error {
	var st unix.Stat_t
	if unix.Fstatat(w.dir, manifestFile, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		dir, err := w.open()
		if err != nil {
			return err
		}
		name, err := newest(dir)
		dir.Close()
		if err != nil {
			return err
		}
		if name == "" {
			return errNoImage
		}
		i.Path = filepath.Join(i.Path, name)
		if err := w.enter(name); err != nil {
			return err
		}
	}
	err := w.end()
	if err == nil {
		i.dir, err = w.open()
	}
	return err
}

// newest is the name of the newest image in a program directory, or "".
func newest(dir *os.File) (string, error) {
	if target, err := readlinkat(dir, latestLink); err == nil {
		if _, ok := sequenceOf(target); !ok {
			return "", fmt.Errorf("%s: points to %q, which is no sequence number", latestLink, target)
		}
		var st unix.Stat_t
		if unix.Fstatat(int(dir.Fd()), target, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			return target, nil
		}
		// The image that latest names was removed: take another one.
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return "", err
	}
	highest := 0
	for _, name := range names {
		if n, ok := sequenceOf(name); ok {
			highest = max(highest, n)
		}
	}
	if highest == 0 {
		return "", nil
	}
	return strconv.Itoa(highest), nil
}
