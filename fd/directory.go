package fd

import (
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/retry"
)

// Directory is the record of a directory. The description's offset is the position of getdents(2). A directory that has been removed
// is made at its former path, and removed again.
type Directory struct {
	File       image.File  `json:"file"`
	Attributes *Attributes `json:"attributes,omitempty"`
}

var directory = kind{
	name:    "directory",
	seeks:   true,
	is:      func(o *open) bool { return o.format() == unix.S_IFDIR && o.hasPath() },
	capture: captureDirectory,
	describe: func(d image.Description) string {
		r, _ := record[Directory](d)
		return r.File.Path
	},
	check: func(d image.Description, env *Env) obstacle.List {
		r, err := record[Directory](d)
		if err != nil {
			return broken(err)
		}
		if r.File.Deleted {
			return nil
		}
		return env.decideDirectory(CompareFile(r.File), d)
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[Directory](d)
		if err != nil {
			return nil, err
		}
		if r.File.Deleted {
			return env.openRemoved(r, d.Flags)
		}
		if list := env.decideDirectory(CompareFile(r.File), d); len(list) > 0 {
			return nil, list
		}
		return openAt(r.File.Path, d.Flags, func(st *unix.Stat_t) error {
			return env.decideDirectory(compare(r.File, st), d).Err()
		})
	},
	paths: pathsIn(func(r *Directory, to Relocations) { to.file(&r.File) }),
}

func captureDirectory(c *capture, o *open) (any, error) {
	path, where := o.where()
	switch where {
	case deleted:
		return o.removedDirectory(path)
	case hidden:
		return nil, o.hiddenObstacle()
	}
	return &Directory{File: o.file(path)}, nil
}

// removedDirectory is the record of a directory that has been removed. Nothing can be made in it.
func (o *open) removedDirectory(path string) (*Directory, error) {
	r := &Directory{File: o.file(path)}
	r.File.Deleted = true
	var err error
	r.Attributes, err = o.attributes()
	return r, err
}

// openRemoved opens a directory that has been removed. The first description of it makes it.
func (e *Env) openRemoved(r Directory, flags uint32) (*os.File, error) {
	inode := inodeOf(r.File)
	made := e.removed[inode]
	if made == nil {
		var err error
		if made, err = unlinked(r.File.Path, createUnlinkedDirectory, e.Tell); err != nil {
			return nil, err
		}
		if e.removed == nil {
			e.removed = make(map[Inode]*os.File)
		}
		e.removed[inode] = made
		if err := e.setAttributes(made, r.File, r.Attributes); err != nil {
			return nil, err
		}
	}
	fd, err := retry.Openat(int(made.Fd()), ".", int(flags&openFlags)|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: r.File.Path, Err: err}
	}
	return os.NewFile(uintptr(fd), r.File.Path), nil
}

// decideDirectory applies the policy to a directory. Its size and time do not matter, because entries come and go.
// But an offset is only valid in the directory it comes from.
func (e *Env) decideDirectory(c Comparison, d image.Description) obstacle.List {
	offset := d.Offset
	replaced := c.Change == Gone || c.Have.Mode&unix.S_IFMT != unix.S_IFDIR || c.Have.Inode != c.Want.Inode && !(c.Want.Relocated && offset == 0)
	if list := e.lessers[d.ID].gain(c, accessMode(d.Flags)); len(list) > 0 || !replaced {
		return list
	}
	isDirectory := c.Change != Gone && c.Have.Mode&unix.S_IFMT == unix.S_IFDIR
	if isDirectory && (e.Force || offset == 0 && e.Files != Strict && !c.isOfAnotherUser()) {
		e.Tell(c.Want.Path + ": another directory is at this path since the checkpoint; taken as it is")
		return nil
	}
	if c.Change != Gone {
		c.Change = Replaced
	}
	return obstacle.List{{
		What: c.Want.Path,
		Why:  c.String(),
		Do:   choose(isDirectory, "restart with --force to take what is there", "make the directory again"),
	}}
}

// OpenDirectory opens a directory with O_PATH, for fchdir(2), fstat(2) or openIn.
func OpenDirectory(path string) (*os.File, error) {
	return openAt(path, unix.O_PATH|unix.O_DIRECTORY, func(st *unix.Stat_t) error {
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return &os.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
		}
		return nil
	})
}
