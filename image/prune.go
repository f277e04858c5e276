package image

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Prune removes old images of a program. path is one of them, made without Options.Output. The newest keep images of its
// directory stay. Prune neither counts nor removes an image whose manifest cannot be read. An image disappears at once, by a
// rename to a hidden name: a killed Prune leaves a directory that the next Create removes.
func Prune(path string, keep int) error {
	w, err := newPathWalk(filepath.Dir(path), true)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.end(); err != nil {
		return err
	}
	dir, err := w.open()
	if err != nil {
		return err
	}
	defer dir.Close()
	sequences, err := wholeImages(dir)
	if err != nil {
		return err
	}
	for _, n := range sequences[:max(0, len(sequences)-keep)] {
		if err := hide(dir, strconv.Itoa(n)); err != nil {
			return err
		}
	}
	return nil
}

// wholeImages returns the sequence numbers of the complete images in a program directory, in ascending order.
func wholeImages(dir *os.File) (sequences []int, err error) {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		n, ok := sequenceOf(name)
		if !ok {
			continue
		}
		i := &Image{Path: filepath.Join(dir.Name(), name)}
		if i.dir, err = openDir(dir, name); err == nil && ownedByUs(i.dir) == nil && i.readManifest() == nil {
			sequences = append(sequences, n)
		}
		i.Close()
	}
	slices.Sort(sequences)
	return sequences, nil
}

// hide renames an image to the hidden name of an incomplete image, and then removes it.
func hide(dir *os.File, name string) error {
	image, err := openDir(dir, name)
	if err != nil {
		return err
	}
	defer image.Close()
	hidden := "." + name + partialSuffix
	if err := renameNew(int(dir.Fd()), name, hidden); err != nil {
		return &os.LinkError{Op: "rename", Old: image.Name(), New: hidden, Err: err}
	}
	if err := unix.Flock(int(image.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil { // another Create removes it otherwise
		removeTree(dir, hidden, image)
	}
	return nil
}
