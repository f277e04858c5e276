package fd

import (
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// tmpfiles are the descriptions with which open(2) makes files of O_TMPFILE. Only the description that has made the file can have this flag.
type tmpfiles struct {
	flags map[image.MemoryID]uint32 // of F_GETFL, from the image
	made  map[image.MemoryID]*os.File
}

// makeFlags are flags of F_GETFL that only open(2) can set.
const makeFlags = unix.O_ACCMODE | unix.O_TMPFILE | unix.O_SYNC | unix.O_DSYNC | unix.O_ASYNC | unix.O_NOFOLLOW

func (t *tmpfiles) know(g *image.Group) {
	t.flags = make(map[image.MemoryID]uint32)
	for _, d := range g.Descriptions {
		if d.Kind != regular.name || !isTmpfile(d.Flags) {
			continue
		}
		if r, err := record[Regular](d); err == nil && r.File.Deleted {
			t.flags[r.Memory] = d.Flags
		}
	}
}

func isTmpfile(flags uint32) bool { return flags&unix.O_TMPFILE == unix.O_TMPFILE }

// create makes a file of O_TMPFILE. It keeps the description that the program will get, and returns another one.
func (t *tmpfiles) create(dir *os.File, id image.MemoryID) (*os.File, error) {
	flags, known := t.flags[id]
	if !known {
		flags = unix.O_TMPFILE | unix.O_RDWR
	}
	f, err := openIn(dir, ".", flags&makeFlags, 0o600)
	if err != nil || !known {
		return f, err
	}
	base, err := reopen(f, unix.O_RDWR)
	if err != nil {
		f.Close()
		return nil, err
	}
	if t.made == nil {
		t.made = make(map[image.MemoryID]*os.File)
	}
	t.made[id] = f
	return base, nil
}

// take returns the description that has made the file. It is nil if another description was asked for, or if the file was made in another
// way: not every file system has O_TMPFILE.
func (t *tmpfiles) take(id image.MemoryID, flags uint32) *os.File {
	f := t.made[id]
	if f == nil || !isTmpfile(flags) {
		return nil
	}
	delete(t.made, id)
	return f
}

func (t *tmpfiles) close() {
	for _, f := range t.made {
		f.Close()
	}
	t.made = nil
}
