package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Regular is the record of a regular file. A file that had lost its name keeps its content in a
// memory object of kind image.MemoryFile; it comes back unlinked, File.Path is where it was.
type Regular struct {
	File   image.File     `json:"file"`
	Memory image.MemoryID `json:"memory,omitempty"`
}

var regular = kind{
	name:    "regular",
	seeks:   true,
	is:      func(o *open) bool { return o.format() == unix.S_IFREG && o.hasPath() },
	capture: captureRegular,
	describe: func(d image.Description) string {
		r, _ := record[Regular](d)
		return r.File.Path + choose(r.File.Deleted, deletedMark, "")
	},
	check:  checkRegular,
	create: createRegular,
}

func captureRegular(c *capture, g shared) (any, error) {
	o := g.first()
	path, where := o.where(c.Member)
	r := &Regular{File: o.file(path)}
	switch {
	case where == hidden:
		return nil, o.hiddenObstacle()
	case where == deleted && o.stat.Nlink > 0:
		return nil, obstacle.Obstacle{
			What: o.link,
			Why:  "the file was deleted under this name but has others, which cannot be found",
			Do:   "close it before the checkpoint, or put its name back with ln",
		}
	case where == deleted:
		r.File.Deleted = true
		r.Memory = c.table.Object(o.inode(), image.MemoryObject{
			Kind: image.MemoryFile,
			Name: path,
			Size: uint64(o.stat.Size),
			Mode: o.stat.Mode & 0o7777,
		}, o.proc)
	}
	return r, nil
}

func checkRegular(d image.Description, env *Env) obstacle.List {
	r, err := record[Regular](d)
	if err != nil {
		return broken(err)
	}
	if r.File.Deleted {
		return nil
	}
	notice, list := env.Judge(r.File, writes(d))
	env.Tell(notice)
	if len(list) == 0 && !env.Force {
		list = permitted(r.File, d.Flags)
	}
	return list
}

func createRegular(d image.Description, env *Env) (*os.File, error) {
	r, err := record[Regular](d)
	if err != nil {
		return nil, err
	}
	if r.File.Deleted {
		f, err := openObject(r.Memory, d.Flags, env)
		if err == nil {
			err = setModified(f, r.File.MtimeNs)
		}
		return f, err
	}
	notice, list := env.Judge(r.File, writes(d))
	if len(list) > 0 {
		return nil, list
	}
	env.Tell(notice)
	f, err := openAt(r.File, d.Flags, env)
	if os.IsNotExist(err) && env.Force {
		return substitute(r.File, d.Flags, env)
	}
	if err == nil && env.Files == Rewind && writes(d) {
		env.rewindLater(f, r.File.Size)
	}
	return f, err
}

// setModified gives back a file its time of last modification.
func setModified(f *os.File, ns int64) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(ns)}
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), times, 0)
}

// substitute stands in for a file that is gone, as --force wants it: a new empty file where the program was writing,
// an empty one without a name where it was reading.
func substitute(want image.File, flags uint32, env *Env) (*os.File, error) {
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return os.Open(os.DevNull)
	}
	f, err := openPath(want.Path, flags&openFlags|unix.O_CREAT|unix.O_EXCL, want.Mode&0o777)
	if err == nil {
		env.undo = append(env.undo, func() { os.Remove(want.Path) })
	}
	return f, err
}

func writes(d image.Description) bool {
	return d.Flags&unix.O_ACCMODE != unix.O_RDONLY && d.Flags&unix.O_PATH == 0
}
