package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Regular is the record of a regular file. The content of a file without a name is in a memory object of kind
// image.MemoryFile. Such a file comes back unlinked. File.Path is its former path.
type Regular struct {
	File       image.File     `json:"file"`
	Memory     image.MemoryID `json:"memory,omitempty"`
	Attributes *Attributes    `json:"attributes,omitempty"`
}

var regular = kind{
	name:  "regular",
	seeks: true,
	is: func(o *open) bool {
		return o.format() == unix.S_IFREG && o.hasPath() && o.filesystem != unix.SECRETMEM_MAGIC
	},
	capture: captureRegular,
	describe: func(d image.Description) string {
		r, _ := record[Regular](d)
		return r.File.Path + choose(r.File.Deleted, deletedMark, "")
	},
	check:  checkRegular,
	create: createRegular,
	refers: func(d image.Description) References {
		if r, _ := record[Regular](d); r.File.Deleted {
			return References{Memory: []image.MemoryID{r.Memory}}
		}
		return References{}
	},
	paths: pathsIn(func(r *Regular, to Relocations) { to.file(&r.File) }),
}

func captureRegular(c *capture, o *open) (any, error) {
	path, where := c.where(o)
	r := &Regular{File: o.file(path)}
	switch {
	case where == hidden:
		return nil, o.hiddenObstacle()
	case where == deleted && o.stat.Nlink > 0:
		if r.File.Path = c.otherName(o, path); r.File.Path == "" {
			return nil, obstacle.Obstacle{
				What: o.link,
				Why:  "the file was deleted under this name but has others, which cannot be found",
				Do:   "close the file before the checkpoint, or give it its name back with ln",
			}
		}
	case where == deleted:
		return c.unlinkedFile(o, path)
	}
	return r, c.copyFile(o, r.File)
}

// unlinkedFile is the record of a regular file without a name.
func (c *capture) unlinkedFile(o *open, path string) (*Regular, error) {
	r := &Regular{File: o.file(path)}
	r.File.Deleted = true
	r.Memory = c.table.Object(o.inode(), image.MemoryObject{
		Kind:  image.MemoryFile,
		Name:  path,
		Size:  uint64(o.stat.Size),
		Mode:  o.stat.Mode & 0o7777,
		Owner: &image.FileOwner{UID: o.stat.Uid, GID: o.stat.Gid},
	}, o.source())
	var err error
	r.Attributes, err = o.attributes()
	return r, err
}

func checkRegular(d image.Description, env *Env) obstacle.List {
	r, err := record[Regular](d)
	if err != nil {
		return broken(err)
	}
	if r.File.Deleted {
		return nil
	}
	decided := env.decide(CompareFile(r.File), useOf(d, r.File))
	env.Tell(decided.notice)
	switch {
	case decided.putBack && decided.standIn:
		return creatable(r.File)
	case decided.putBack:
		return permitted(r.File, unix.O_RDWR)
	case len(decided.obstacles) == 0 && !env.Force && !r.File.Accepted:
		return permitted(r.File, d.Flags)
	}
	return decided.obstacles
}

func createRegular(d image.Description, env *Env) (*os.File, error) {
	r, err := record[Regular](d)
	if err != nil {
		return nil, err
	}
	if r.File.Deleted {
		return env.openUnlinked(r, d.Flags)
	}
	return env.open(r.File, d.Flags, useOf(d, r.File))
}

func (e *Env) openUnlinked(r Regular, flags uint32) (*os.File, error) {
	f, err := openObject(r.Memory, flags, e)
	if err != nil {
		return nil, err
	}
	if err := e.setAttributes(f, r.File, r.Attributes); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// open opens a regular file, or the file in its place, if the policy allows it.
func (e *Env) open(want image.File, flags uint32, own use) (*os.File, error) {
	decided := e.decide(CompareFile(want), own)
	if decided.standIn {
		e.Tell(decided.notice)
		return e.standIn(want, flags, own)
	}
	if len(decided.obstacles) > 0 {
		return nil, decided.obstacles
	}
	if flags&unix.O_TMPFILE == unix.O_TMPFILE { // it got a name later
		flags &^= unix.O_TMPFILE
	}
	f, err := openAt(want.Path, flags, func(st *unix.Stat_t) error {
		decided = e.decide(compare(want, st), own)
		return decided.obstacles.Err()
	})
	if err != nil {
		return nil, err
	}
	e.Tell(decided.notice)
	if c := e.copyFor(want); decided.putBack {
		if err := e.putBackLater(c, f); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: cannot be put back: %w", want.Path, err)
		}
		return f, nil
	}
	if decided.cut && flags&unix.O_ACCMODE != unix.O_RDONLY {
		e.cutLater(f, want)
	}
	return f, nil
}

// setModified sets the time of modification of a file.
func setModified(f *os.File, ns int64) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(ns)}
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), times, 0)
}

func writes(d image.Description) bool {
	return d.Flags&unix.O_ACCMODE != unix.O_RDONLY && d.Flags&unix.O_PATH == 0
}
