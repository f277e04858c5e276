package fd

import (
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// PathOnly is the record of a descriptor of O_PATH, on a file of any type. A deleted regular file or directory is like one that is open
// for reading. If the file is that of a Unix socket of the group, a restart makes it anew: the socket is the description's object.
type PathOnly struct {
	File       image.File     `json:"file"`
	Memory     image.MemoryID `json:"memory,omitempty"`
	Attributes *Attributes    `json:"attributes,omitempty"`
}

var pathOnly = kind{
	name: "path",
	is:   func(o *open) bool { return o.flags&unix.O_PATH != 0 && o.hasPath() && !rereadable[o.filesystem] },
	capture: func(c *capture, o *open) (any, error) {
		path, where := o.where()
		switch {
		case where == hidden:
			return nil, o.hiddenObstacle()
		case where == deleted && o.format() == unix.S_IFREG && o.stat.Nlink == 0:
			r, err := c.unlinkedFile(o, path)
			return (*PathOnly)(r), err
		case where == deleted && o.format() == unix.S_IFDIR:
			r, err := o.removedDirectory(path)
			return &PathOnly{File: r.File, Attributes: r.Attributes}, err
		case where == deleted && o.stat.Nlink > 0:
			if path = c.otherName(o, path); path != "" {
				break
			}
			fallthrough
		case where == deleted:
			return nil, obstacle.Obstacle{
				What: o.link,
				Why:  "it was opened with O_PATH and then deleted, so it cannot be opened again",
				Do:   closeIt,
			}
		}
		if s := c.boundTo(o); s != nil {
			c.later = append(c.later, func() error {
				c.table.Descriptions[c.ids[o]-1].Object = c.socketObject(uint32(s.stat.Ino))
				return nil
			})
		}
		return &PathOnly{File: o.file(path)}, nil
	},
	describe: func(d image.Description) string {
		r, _ := record[PathOnly](d)
		return r.File.Path + " (path only)"
	},
	check: func(d image.Description, env *Env) obstacle.List {
		r, err := record[PathOnly](d)
		if err != nil {
			return broken(err)
		}
		if r.File.Deleted || d.Object != 0 {
			return nil
		}
		return env.decidePath(CompareFile(r.File), d)
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[PathOnly](d)
		if err != nil {
			return nil, err
		}
		switch {
		case r.File.Deleted && r.File.Mode&unix.S_IFMT == unix.S_IFDIR:
			return env.openRemoved(Directory{r.File, r.Attributes}, d.Flags)
		case r.File.Deleted:
			return env.openUnlinked(Regular(r), d.Flags)
		}
		socket, err := env.socketFile(d.Object)
		if err != nil {
			return nil, err
		}
		if list := env.decidePath(CompareFile(r.File), d); socket == nil && len(list) > 0 {
			return nil, list
		}
		return openAt(r.File.Path, d.Flags, func(st *unix.Stat_t) error {
			if socket != nil && socket.Ino == st.Ino && socket.Dev == st.Dev {
				return nil
			}
			return env.decidePath(compare(r.File, st), d).Err()
		})
	},
	paths: pathsIn(func(r *PathOnly, to Relocations) { to.file(&r.File) }),
}

// boundTo returns the socket of the group to which bind(2) has given a file as its name, or nil.
func (c *capture) boundTo(o *open) *open {
	if o.format() != unix.S_IFSOCK {
		return nil
	}
	var found *open
	for _, s := range c.sockets {
		// A socket that accept(2) has returned has the name of the listening one.
		if s.socket != nil && s.socket.file == uint32(o.stat.Ino) && (found == nil || s.socket.listening || s.stat.Ino < found.stat.Ino && !found.socket.listening) {
			found = s
		}
	}
	return found
}

// socketFile returns the file of a Unix socket that the restart has made, or nil.
func (e *Env) socketFile(id image.ObjectID) (*unix.Stat_t, error) {
	if id == 0 {
		return nil, nil
	}
	m, err := object[*madeUnix](id, &unixObjects, e)
	if err != nil || m.bound == nil || m.bound.file == nil {
		return nil, err
	}
	var st unix.Stat_t
	return &st, unix.Fstat(int(m.bound.file.Fd()), &st)
}

// decidePath accepts only the same inode. The content of the file does not matter.
func (e *Env) decidePath(c Comparison, d image.Description) obstacle.List {
	if list := e.lessers[d.ID].gain(c, accessMode(d.Flags)); len(list) > 0 {
		return list
	}
	if c.Change != Gone && (c.Have.Inode == c.Want.Inode || c.Want.Relocated || e.Force) {
		return nil
	}
	if c.Change != Gone {
		c.Change = Replaced
	}
	return obstacle.List{{
		What: c.Want.Path,
		Why:  c.String(),
		Do:   choose(c.Change == Gone, "put it back", "restart with --force to take what is there"),
	}}
}
