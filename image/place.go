package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/retry"
)

const (
	latestLink    = "latest"
	partialSuffix = ".partial"
)

// DirName returns the name of a program's directory under CRAK_DIR: "<comm>.<pid>". It replaces characters of comm that are awkward
// in a file name by "_".
func DirName(comm string, pid Pid) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r > 0x7f && r != '\ufffd' && unicode.IsPrint(r):
			return r
		case strings.ContainsRune("-_.+,=@:", r):
			return r
		}
		return '_'
	}, comm)
	if name == "" || name[0] == '.' || name[0] == '-' {
		name = "_" + name
	}
	return fmt.Sprintf("%s.%d", name, pid)
}

// place is where an image is made: the open parent directory, the name of the image in it, and the hidden directory that gets
// this name at the commit. Every call is relative to an open directory, so that no other user can insert a symbolic link.
type place struct {
	path     string // of parent
	parent   *os.File
	name     string
	hidden   string
	dir      *os.File // hidden, open and locked
	sequence int      // 0: the user chose the name
	made     string   // the program directory's path, if it was made for this image
}

// final is the path of the image once it is committed.
func (p *place) final() string { return filepath.Join(p.path, p.name) }

// newPlace makes <dir>/<program>/.<sequence>.partial.
func newPlace(dir, program string) (*place, error) {
	w, err := newPathWalk(dir, false)
	if err != nil {
		return nil, err
	}
	defer w.close()
	p := &place{path: filepath.Join(dir, program)}
	err = unix.Mkdirat(w.dir, program, 0o700)
	switch {
	case err == nil:
		p.made = p.path
	case err != unix.EEXIST:
		return nil, &fs.PathError{Op: "mkdir", Path: p.path, Err: err}
	}
	err = w.enter(program)
	if err == nil {
		err = w.end()
	}
	if err == nil {
		p.parent, err = w.open()
	}
	if err == nil {
		err = p.takeSequence()
	}
	if err != nil {
		p.remove()
		return nil, err
	}
	return p, nil
}

// newPlaceAt makes a hidden sibling of output, whose directory may be open already.
func newPlaceAt(output string, parent *os.File) (*place, error) {
	p := &place{path: filepath.Dir(output), name: filepath.Base(output)}
	p.hidden = "." + p.name + partialSuffix
	var err error
	if parent == nil {
		p.parent, err = OpenDirectory(p.path)
	} else {
		p.parent, err = duplicate(parent)
	}
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstatat(int(p.parent.Fd()), p.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch err {
	case unix.ENOENT:
		sweep(p.parent, p.hidden)
		err = p.makeHidden()
	case nil:
		err = unix.EEXIST
	}
	if err != nil {
		p.remove()
		return nil, &fs.PathError{Op: "create", Path: output, Err: err}
	}
	return p, nil
}

// takeSequence takes the number after the highest of all images and of the target of latest.
// It also removes the hidden directories of writers that were killed.
func (p *place) takeSequence() error {
	names, err := p.parent.Readdirnames(-1)
	if err != nil {
		return err
	}
	highest := 0
	for _, name := range names {
		if name == latestLink {
			target, err := readlinkat(p.parent, name)
			if err != nil {
				return fmt.Errorf("%s: crak needs this name for a symlink: %w", filepath.Join(p.path, name), err)
			}
			name = target
		}
		if n, ok := sequenceOf(name); ok {
			highest = max(highest, n)
		}
		if inner, ok := strings.CutSuffix(strings.TrimPrefix(name, "."), partialSuffix); ok && name[0] == '.' {
			if _, ok := sequenceOf(inner); ok {
				sweep(p.parent, name)
			}
		}
	}
	for n := highest + 1; ; n++ {
		p.sequence, p.name = n, strconv.Itoa(n)
		p.hidden = "." + p.name + partialSuffix
		if err = p.makeHidden(); err != unix.EEXIST {
			break
		}
	}
	if err != nil {
		return &fs.PathError{Op: "mkdir", Path: filepath.Join(p.path, p.hidden), Err: err}
	}
	return nil
}

// sequenceOf reads a sequence number: digits without a leading zero.
func sequenceOf(name string) (int, bool) {
	n, err := strconv.Atoi(name)
	return n, err == nil && n > 0 && n < 1<<31 && strconv.Itoa(n) == name
}

// makeHidden makes, opens and locks the hidden directory.
func (p *place) makeHidden() error {
	at := int(p.parent.Fd())
	if err := unix.Mkdirat(at, p.hidden, 0o700); err != nil {
		return err
	}
	dir, err := openDir(p.parent, p.hidden)
	if err == nil {
		err = ownedByUs(dir)
	}
	if err == nil {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		unix.Unlinkat(at, p.hidden, unix.AT_REMOVEDIR)
		if dir != nil {
			dir.Close()
		}
		return err
	}
	p.dir = dir
	return nil
}

// create makes a file of the image.
func (p *place) create(name string) (*os.File, error) {
	fd, err := retry.Openat(int(p.dir.Fd()), name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// remove removes all that was made. The program directory stays if it contains another image.
func (p *place) remove() {
	if p.dir != nil {
		removeTree(p.parent, p.hidden, p.dir)
		p.dir.Close()
	}
	if p.made != "" {
		p.removeProgram()
	}
	if p.parent != nil {
		p.parent.Close()
	}
	*p = place{}
}

// removeProgram removes the program directory if it is empty. A user who can write to the directory above may have replaced its path by
// a symbolic link.
func (p *place) removeProgram() {
	if p.parent == nil {
		return
	}
	if above, err := openDir(p.parent, ".."); err == nil {
		unix.Unlinkat(int(above.Fd()), filepath.Base(p.made), unix.AT_REMOVEDIR)
		above.Close()
	}
}

// sweep removes a hidden directory whose writer has ended: its lock is free.
func sweep(parent *os.File, name string) {
	dir, err := openDir(parent, name)
	if err != nil {
		return
	}
	defer dir.Close()
	if ownedByUs(dir) == nil && unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		removeTree(parent, name, dir)
	}
}

// files are the names of the files of an image.
var files = []string{manifestFile, groupFile, processesFile, indexFile, pagesFile}

// removeTree removes a directory that has only files in it.
func removeTree(parent *os.File, name string, dir *os.File) {
	for _, file := range files {
		unix.Unlinkat(int(dir.Fd()), file, 0)
	}
	unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR)
}

// openDir opens a subdirectory.
func openDir(in *os.File, name string) (*os.File, error) {
	path := filepath.Join(in.Name(), name)
	fd, err := retry.Openat(int(in.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open directory", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// duplicate returns another descriptor of the same open directory.
func duplicate(dir *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), dir.Name()), nil
}

func readlinkat(dir *os.File, name string) (string, error) {
	var buf [256]byte
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf[:])
	if err == unix.EINVAL {
		return "", errors.New("is not a symlink")
	}
	return string(buf[:max(n, 0)]), err
}

// ownedByUs refuses a file of another user, who could change it at any time.
func ownedByUs(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	uid := os.Geteuid()
	if int(st.Uid) == uid {
		return nil
	}
	return fmt.Errorf("%s: belongs to user %d, not to user %d", f.Name(), st.Uid, uid)
}
