package fd

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// Memfd is the record of a descriptor of memfd_create(2). The memory object has the name, size, seals and content.
type Memfd struct {
	Memory image.MemoryID `json:"memory"`
}

const memfdPrefix = "/memfd:"

var memfd = kind{
	name:    "memfd",
	seeks:   true,
	is:      isMemfd,
	capture: captureMemfd,
	describe: func(d image.Description) string {
		r, _ := record[Memfd](d)
		return fmt.Sprintf("memfd (memory %d)", r.Memory)
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := record[Memfd](d)
		if err != nil {
			return nil, err
		}
		return openObject(r.Memory, d.Flags, env)
	},
	refers: func(d image.Description) References {
		r, _ := record[Memfd](d)
		return References{Memory: []image.MemoryID{r.Memory}}
	},
}

// isMemfd recognizes a memfd by its name and its file system: no file below the root directory has such a name, and
// the kernel keeps memfds in a memory file system of its own.
func isMemfd(o *open) bool {
	if o.format() != unix.S_IFREG || o.stat.Nlink != 0 || !strings.HasPrefix(o.link, memfdPrefix) {
		return false
	}
	fs := o.filesystem
	return fs == unix.TMPFS_MAGIC || fs == unix.HUGETLBFS_MAGIC
}

func captureMemfd(c *capture, o *open) (any, error) {
	object := image.MemoryObject{
		Kind: image.MemoryMemfd,
		Name: MemfdName(o.link),
		Size: uint64(o.stat.Size),
		Mode: o.stat.Mode & 0o7777,
	}
	if o.filesystem == unix.HUGETLBFS_MAGIC {
		object.HugePageSize = uint64(o.stat.Blksize)
	}
	id := c.table.Object(o.inode(), object, o.source())
	c.questions.fcntl(o, unix.F_GET_SEALS, 0, func(result int64) {
		if result >= 0 {
			c.table.Memory[id-1].Seals = uint32(result)
		}
	})
	return &Memfd{Memory: id}, nil
}

// MemfdName is the name that the program gave to memfd_create, taken from what /proc shows: "/memfd:name (deleted)".
func MemfdName(link string) string {
	return strings.TrimSuffix(strings.TrimPrefix(link, memfdPrefix), deletedMark)
}

// openObject makes a description of a shared memory object.
func openObject(id image.MemoryID, flags uint32, env *Env) (*os.File, error) {
	if env.Memory == nil {
		return nil, fmt.Errorf("memory object %d: none was made", id)
	}
	f, err := env.Memory(id)
	if err != nil {
		return nil, fmt.Errorf("memory object %d: %w", id, err)
	}
	if made := env.tmpfiles.take(id, flags); made != nil {
		return made, nil
	}
	return reopenOurs(f, flags)
}

// ReadOnly opens a file that crak restart has made for reading only.
func ReadOnly(f *os.File) (*os.File, error) { return reopenOurs(f, unix.O_RDONLY) }

// reopenOurs opens a file that crak restart has made, even if its mode forbids that. The program chose the mode.
func reopenOurs(f *os.File, flags uint32) (*os.File, error) {
	again, err := reopen(f, flags)
	if errors.Is(err, unix.EACCES) {
		return reopenForced(f, flags)
	}
	return again, err
}

func reopenForced(f *os.File, flags uint32) (*os.File, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	if err := unix.Fchmod(int(f.Fd()), st.Mode&0o7777|0o600); err != nil {
		return nil, err
	}
	again, err := reopen(f, flags)
	if restored := unix.Fchmod(int(f.Fd()), st.Mode&0o7777); err == nil && restored != nil {
		again.Close()
		return nil, restored
	}
	return again, err
}
