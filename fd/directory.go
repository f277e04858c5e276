package fd

import (
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Directory is the record of a directory. The description's offset is the position of getdents(2).
type Directory struct {
	File image.File `json:"file"`
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
		notice, list := env.judgeDirectory(r.File, d.Offset)
		env.Tell(notice)
		return list
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[Directory](d)
		if err != nil {
			return nil, err
		}
		notice, list := env.judgeDirectory(r.File, d.Offset)
		if len(list) > 0 {
			return nil, list
		}
		env.Tell(notice)
		return openAt(r.File, d.Flags, env)
	},
}

func captureDirectory(c *capture, g shared) (any, error) {
	o := g.first()
	path, where := o.where(c.Member)
	switch where {
	case deleted:
		return nil, obstacle.Obstacle{
			What: o.link,
			Why:  "the directory has been removed",
			Do:   "close it before the checkpoint",
		}
	case hidden:
		return nil, o.hiddenObstacle()
	}
	return &Directory{File: o.file(path)}, nil
}

// judgeDirectory decides about a directory. Entries come and go, so its size and time say nothing; but a position in one
// directory means nothing in another.
func (e *Env) judgeDirectory(want image.File, offset int64) (notice string, obstacles obstacle.List) {
	c := CompareFile(want)
	replaced := c.Change == Gone || c.Have.Mode&unix.S_IFMT != unix.S_IFDIR || c.Have.Inode != want.Inode
	if !replaced {
		return "", nil
	}
	isDirectory := c.Change != Gone && c.Have.Mode&unix.S_IFMT == unix.S_IFDIR
	if isDirectory && (offset == 0 || e.Force) && (e.Files != Strict || e.Force) {
		return want.Path + ": another directory is at this path since the checkpoint; taken as it is", nil
	}
	if c.Change != Gone {
		c.Change = Replaced
	}
	return "", obstacle.List{{
		What: want.Path,
		Why:  c.String(),
		Do:   choose(isDirectory, "restart with --force to take what is there", "make the directory again"),
	}}
}
