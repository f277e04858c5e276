package fd

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// FileCopy is the record of a copy of a regular file that the group can write to (crak checkpoint --with-files). The content of
// the object is that of the file at the checkpoint. No description refers to the object: a restart finds it by the inode of the file.
type FileCopy struct {
	File       image.File  `json:"file"`
	Attributes *Attributes `json:"attributes"`
}

var fileCopies = objectKind{
	name: "file_copy",
	check: func(o image.Object) error {
		_, err := fileCopy(o)
		return err
	},
	make: func(image.Object, *Env) (madeObject, error) {
		return nil, errors.New("no description has it")
	},
	describe: func(o image.Object) string {
		r, _ := fileCopy(o)
		return r.File.Path
	},
	paths: pathsIn(func(r *FileCopy, to Relocations) { to.file(&r.File) }),
}

func fileCopy(o image.Object) (FileCopy, error) {
	r, err := decode[FileCopy](o.Record)
	switch {
	case err != nil:
		return r, err
	case r.File.Mode&unix.S_IFMT != unix.S_IFREG || r.File.Deleted:
		return r, fmt.Errorf("%s: not a regular file with a name", r.File.Path)
	case r.File.Size < 0 || uint64(r.File.Size) != o.Size:
		return r, fmt.Errorf("%s: a file of %d bytes, with a content of %d", r.File.Path, r.File.Size, o.Size)
	case r.Attributes == nil:
		return r, fmt.Errorf("%s: attributes are missing", r.File.Path)
	}
	return r, r.Attributes.check()
}

// CopiedFile is a file of which the image gets a copy.
type CopiedFile struct {
	Object image.ObjectID
	Path   string
	Size   int64
	Data   int64 // bytes that are not holes, at most

	inode Inode
	take  Take
}

// Open opens the file for reading.
func (f CopiedFile) Open() (*Source, error) {
	return Content{inode: f.inode, name: f.Path, take: f.take}.Open()
}

// copyFile records a copy of a file that a description can write to.
func (c *capture) copyFile(o *open, f image.File) error {
	if !o.member.WithFiles || !o.writable() || c.table.copies(o.inode()) {
		return nil
	}
	a, err := o.attributes()
	if err != nil {
		return err
	}
	return c.table.copyOf(&FileCopy{f, a}, o.stat.Blocks, o.source())
}

// CopyMapped records a copy of a file that is mapped. path leads to the file in the program's mount namespace.
func (t *Table) CopyMapped(f image.File, path string) error {
	inode := inodeOf(f)
	if t.copies(inode) {
		return nil
	}
	take := func() (*Handle, error) { return TakePath(path) }
	h, err := take()
	if err != nil {
		return err
	}
	defer h.Close()
	st, err := h.Stat()
	if err == nil && (Inode{st.Dev, st.Ino} != inode) {
		err = errSwapped
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	a, err := fileAttributes("/proc/self/fd/"+strconv.Itoa(h.fd), f.Path, &st)
	if err != nil {
		return err
	}
	return t.copyOf(&FileCopy{f, a}, st.Blocks, take)
}

func (t *Table) copies(inode Inode) bool { return t.objects[objectKey{fileCopies.name, inode}] != 0 }

func (t *Table) copyOf(r *FileCopy, blocks int64, take Take) error {
	text, err := image.MarshalText(r)
	if err != nil {
		return fmt.Errorf("%s: %w", r.File.Path, err)
	}
	if t.objects == nil {
		t.objects = make(map[objectKey]image.ObjectID)
	}
	id := image.ObjectID(len(t.Objects) + 1)
	inode := inodeOf(r.File)
	t.Objects = append(t.Objects, image.Object{ID: id, Kind: fileCopies.name, Size: uint64(r.File.Size), Record: text})
	t.objects[objectKey{fileCopies.name, inode}] = id
	const block = 512 // the unit of st_blocks
	t.Copied = append(t.Copied, CopiedFile{Object: id, Path: r.File.Path, Size: r.File.Size, Data: min(blocks*block, r.File.Size), inode: inode, take: take})
	return nil
}

// A savedCopy is a copied file, in a restart.
type savedCopy struct {
	id     image.ObjectID
	record FileCopy
	begun  bool // it will be put back, or it has been made anew
}

// knowCopies finds the copies of files of a group. CheckReferences reports records that cannot be decoded.
func (e *Env) knowCopies(g *image.Group) {
	e.copies = make(map[Inode]*savedCopy)
	for _, o := range g.Objects {
		if r, err := fileCopy(o); o.Kind == fileCopies.name && err == nil {
			e.copies[inodeOf(r.File)] = &savedCopy{id: o.ID, record: r}
		}
	}
}

// copyFor is the copy from which a restart puts a file back, or nil.
func (e *Env) copyFor(f image.File) *savedCopy {
	if e.Files == Keep || e.Files == Strict {
		return nil
	}
	return e.copies[inodeOf(f)]
}

// leaksInto tells whether the file that is at the path now belongs to another user than the file of the checkpoint and crak's user. This
// user may have made it in a directory like /tmp, have it open, and would get the content of the copy. c may be nil.
func (c *savedCopy) leaksInto(now Comparison) bool {
	return c != nil && now.Change != Gone && now.Have.UID != c.record.Attributes.UID && now.Have.UID != uint32(os.Geteuid())
}

// uncovered returns the parts of [0, size) that are not in runs.
func uncovered(runs []image.Run, size int64) []image.Run {
	slices.SortFunc(runs, func(a, b image.Run) int { return cmp.Compare(a.Start, b.Start) })
	return image.Subtract([]image.Run{{Length: uint64(size)}}, runs)
}
