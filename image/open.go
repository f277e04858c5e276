package image

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"crak.dev/crak/internal/cause"
)

// Bounds of what is read into memory, in bytes.
const (
	maxManifest = 1 << 20
	maxGroup    = 64 << 20
)

// An Image is a committed image, open for reading. Its methods may be called by several
// goroutines at once.
type Image struct {
	Path     string // of its directory, absolute, no latest in it
	Manifest *Manifest
	Group    *Group

	dir    *os.File
	handed bool // dir comes from a process that has checked it, perhaps with other IDs
	idx    *os.File
	pages  *os.File
	extent map[Space]extent
	spaces []Space // in the order of pages.idx
	totals Totals
}

// Error is a fault of an image, or of one file of it.
type Error struct {
	Path string // of the image
	File string // within it; may be empty
	Err  error
}

func (e *Error) Error() string {
	if e.File == "" {
		return fmt.Sprintf("image %q: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("image %q: %s: %v", e.Path, e.File, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Open opens an image. The path is the directory of the image, or a program directory: then Open takes the image that latest points
// to, or the one with the highest sequence number if there is no latest. Open checks everything but the content of the frames,
// which is checked when it is read. The image, and every directory on its path, must belong to the caller's user or to root, and no
// other user may be able to change them (see pathWalk). Every error is an *Error.
func Open(path string) (*Image, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, &Error{path, "", err}
	}
	i := &Image{Path: abs}
	err = i.openDir()
	if err == errNoImage {
		err = lookBelow(abs)
	}
	if err != nil {
		i.Close()
		return nil, &Error{i.Path, "", cause.Of(err)}
	}
	return i.read()
}

// ReadManifest reads the manifest alone of the image that Open would open, and returns the image's path. The manifest's sum is
// checked, and nothing else of the image.
func ReadManifest(path string) (string, *Manifest, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", nil, &Error{path, "", err}
	}
	i := &Image{Path: abs}
	defer i.Close()
	if err := i.openDir(); err != nil {
		return "", nil, &Error{i.Path, "", cause.Of(err)}
	}
	if err := i.readManifest(); err != nil {
		return "", nil, &Error{i.Path, manifestFile, cause.Of(err)}
	}
	return i.Path, i.Manifest, nil
}

// OpenHandle opens the image whose directory is open as Handle of the same image gave it, maybe in another process. It
// takes dir over.
func OpenHandle(dir *os.File, path string) (*Image, error) {
	i := &Image{Path: path, dir: dir, handed: true}
	return i.read()
}

// Handle is the image's directory, for OpenHandle.
func (i *Image) Handle() *os.File { return i.dir }

// read reads and checks all files. Preconditions: the directory is open.
func (i *Image) read() (*Image, error) {
	if file, err := i.readAll(); err != nil {
		i.Close()
		return nil, &Error{i.Path, file, cause.Of(err)}
	}
	return i, nil
}

func (i *Image) readAll() (file string, err error) {
	check := newChecker()
	for _, step := range []struct {
		file string
		read func() error
	}{
		{manifestFile, i.readManifest},
		{groupFile, i.readGroup},
		{groupFile, func() error { return check.shared(i.Group) }},
		{processesFile, i.readProcesses},
		{processesFile, func() error { return check.processes(i.Group) }},
		{groupFile, func() error { return check.zombies(i.Group) }},
		{groupFile, func() error { return check.sysv(i.Group) }},
		{pagesFile, i.openPages},
		{indexFile, i.readIndex},
	} {
		if err := step.read(); err != nil {
			return i.fileOf(step.file), err
		}
	}
	return "", nil
}

// fileOf is the file of this image that corresponds to a file of the newest format.
func (i *Image) fileOf(file string) string {
	if file == processesFile && i.Manifest.processesInGroup() {
		return groupFile
	}
	return file
}

func (i *Image) readManifest() error {
	text, err := i.readSmall(manifestFile, maxManifest)
	if err == nil {
		i.Manifest, err = decodeManifest(text)
	}
	return err
}

func (i *Image) readGroup() error {
	text, err := i.readSmall(groupFile, maxGroup)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	if err := i.Manifest.file(groupFile).match(int64(len(text)), sum[:]); err != nil {
		return err
	}
	i.Group, err = decodeGroup(text)
	if err != nil {
		return err
	}
	if len(i.Group.Processes) > 0 && !i.Manifest.processesInGroup() {
		return fmt.Errorf("processes: they are in %s", processesFile)
	}
	return i.Manifest.matchRoot(i.Group)
}

// matchRoot compares the root of group.json with that of manifest.json.
func (m *Manifest) matchRoot(g *Group) error {
	if g.Root != m.Root {
		return fmt.Errorf("root: %d, and %d in %s", g.Root, m.Root, manifestFile)
	}
	return nil
}

func (i *Image) openPages() (err error) {
	var size int64
	if i.pages, size, err = i.openFile(pagesFile); err != nil {
		return err
	}
	return i.Manifest.file(pagesFile).matchSize(size)
}

func (i *Image) readIndex() error {
	f, size, err := i.openFile(indexFile)
	if err != nil {
		return err
	}
	i.idx = f
	want := i.Manifest.file(indexFile)
	if err := want.matchSize(size); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, size)); err != nil {
		return err
	}
	if err := want.match(size, sum.Sum(nil)); err != nil {
		return err
	}
	s, err := scanIndex(io.NewSectionReader(f, 0, size), i.Manifest.file(pagesFile).Size, i.Group)
	if err != nil {
		return err
	}
	if s.totals.Same > 0 && i.Manifest.Format == 1 {
		return fmt.Errorf("codec %v: not in format 1", CodecSame)
	}
	i.extent, i.spaces, i.totals = s.extent, s.spaces, s.totals
	return nil
}

// Close closes the files.
func (i *Image) Close() error {
	for _, f := range []*os.File{i.dir, i.idx, i.pages} {
		if f != nil {
			f.Close()
		}
	}
	i.dir, i.idx, i.pages = nil, nil, nil
	return nil
}

// Spaces are the spaces that have content, sorted.
func (i *Image) Spaces() []Space {
	var all []Space
	for s := range i.extent {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

// Totals are the sums over one space, or over all if s is empty.
func (i *Image) Totals(s Space) Totals {
	if s == "" {
		return i.totals
	}
	return i.extent[s].totals
}
