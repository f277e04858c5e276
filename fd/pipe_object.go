package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/printable"
	"crak.dev/crak/internal/retry"
)

// pipeContentMost bounds the bytes in one pipe. A pipe holds at most 1 MiB, unless root has raised the limit
// (pipe(7)).
const pipeContentMost = 64 << 20

// PipeObject is the record of a pipe or a FIFO. The bytes in it are its content.
type PipeObject struct {
	File       *image.File `json:"file,omitempty"` // nil for a pipe
	Attributes *Attributes `json:"attributes,omitempty"`
	Capacity   int         `json:"capacity"`          // bytes (fcntl(2), F_GETPIPE_SZ)
	Packets    []int       `json:"packets,omitempty"` // their lengths, if there is nothing else (pipe(2), O_DIRECT)

	// Slots are the pieces of the content, if writing the content at once would make others. A pipe is full if it has as many as its capacity
	// has pages, however small they are.
	Slots []PipeSlot `json:"slots,omitempty"`

	// Unwritten is set if nobody has opened the FIFO for writing since its read end was opened. Then poll(2) reports no POLLHUP.
	Unwritten bool `json:"unwritten,omitempty"`
}

// pipeEnd is a description of a pipe that only the group has open.
var pipeEnd = kind{
	name: "pipe_end",
	is:   func(o *open) bool { return o.ownPipe },
	capture: func(c *capture, o *open) (any, error) {
		var err error
		c.object, err = c.objectOf(o, &pipeObjects, func() (any, []byte, error) { return c.lookIntoPipe(o) })
		return nil, err
	},
	describe: func(d image.Description) string {
		return fmt.Sprintf("%s of pipe %d", choose(d.Flags&unix.O_ACCMODE == unix.O_RDONLY, "read end", "write end"), d.Object)
	},
	check: func(d image.Description, env *Env) obstacle.List {
		o, err := env.known(d.Object, &pipeObjects)
		if err != nil {
			return broken(err)
		}
		r, _ := pipeRecord(o)
		if r.File == nil || r.File.Deleted {
			return nil
		}
		c := CompareFile(*r.File)
		if c.Change == Gone || c.Have.Mode&unix.S_IFMT != unix.S_IFIFO {
			return obstacle.List{{What: r.File.Path, Why: "it is not a FIFO any more, or cannot be found", Do: "make it again: mkfifo " + printable.Shell(r.File.Path)}}
		}
		if err := r.checkOwner(c.Have.UID); err != nil {
			return obstacle.List{{What: r.File.Path, Why: err.Error(), Do: "remove it, and make it again: mkfifo " + printable.Shell(r.File.Path)}}
		}
		return env.lessers[d.ID].gain(c, accessMode(d.Flags))
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		p, err := object[*madePipe](d.Object, &pipeObjects, env)
		if err == nil {
			err = p.isFor(env.lessers[d.ID], d.Flags)
		}
		if err != nil {
			return nil, err
		}
		return p.description(d.Flags)
	},
}

// pipeObjects are the pipes and FIFOs behind these descriptions.
var pipeObjects = objectKind{
	name: "pipe",
	check: func(o image.Object) error {
		_, err := pipeRecord(o)
		return err
	},
	make: func(o image.Object, env *Env) (madeObject, error) {
		r, err := pipeRecord(o)
		if err != nil {
			return nil, err
		}
		p := &madePipe{record: r}
		err = p.open(env)
		if err == nil && r.Unwritten && o.Size == 0 {
			err = p.onlyRead()
		}
		if err == nil {
			err = p.resize(o.Size, env)
		}
		if err != nil {
			p.close()
			return nil, err
		}
		return p, nil
	},
	paths: pathsIn(func(r *PipeObject, to Relocations) {
		if r.File != nil {
			to.file(r.File)
		}
	}),
}

// checkOwner checks who owns the FIFO that is at the path now. Another user may have made it in a directory like /tmp, and would get the
// content.
func (r *PipeObject) checkOwner(now uint32) error {
	if r.Attributes == nil || now == r.Attributes.UID || now == uint32(os.Geteuid()) {
		return nil
	}
	return fmt.Errorf("it belongs to user %d now, and belonged to user %d", now, r.Attributes.UID)
}

// lookIntoPipe returns the record and the content of a pipe.
func (c *capture) lookIntoPipe(o *open) (any, []byte, error) {
	r := &PipeObject{}
	if o.hasPath() {
		path, where := o.where()
		if where == deleted && o.stat.Nlink > 0 {
			if path = c.otherName(o, path); path == "" {
				where = hidden
			}
		}
		if where == hidden {
			return nil, nil, obstacle.Obstacle{What: "FIFO " + o.link, Why: "another file, or none, is at this path, and its other name cannot be found", Do: closeIt}
		}
		file := o.file(path)
		r.File = &file
		r.Attributes = &Attributes{UID: o.stat.Uid, GID: o.stat.Gid, AccessedNs: o.stat.Atim.Nano()}
		if o.stat.Nlink == 0 {
			file.Deleted = true
			var err error
			if r.Attributes, err = o.attributes(); err != nil {
				return nil, nil, err
			}
		}
	}
	if o.handle.fd < 0 {
		return r, nil, nil
	}
	if r.File != nil && !o.writable() && o.handle.shares {
		events, err := eventsOf(o.handle.fd, unix.POLLIN)
		if err != nil {
			return nil, nil, os.NewSyscallError("poll", err)
		}
		r.Unwritten = events&unix.POLLHUP == 0
	}
	var content []byte
	err := o.member.own(func() (err error) { // another user may have made the pipe
		content, err = r.read(o.handle)
		return err
	})
	if err != nil {
		return nil, nil, obstacle.Obstacle{What: o.link, Why: "its content cannot be read: " + err.Error(), Do: closeIt}
	}
	return r, content, nil
}

// read copies the content of the pipe with tee(2), which leaves the bytes in the pipe. The pipe is opened anew, so the program's description does not change.
func (r *PipeObject) read(h *Handle) ([]byte, error) {
	from, err := retry.Open(h.path(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(from)
	if r.Capacity, err = unix.FcntlInt(uintptr(from), unix.F_GETPIPE_SZ, 0); err != nil {
		return nil, fmt.Errorf("F_GETPIPE_SZ: %w", err)
	}
	length, err := unix.IoctlGetInt(from, unix.TIOCINQ) // FIONREAD
	if err != nil || length == 0 {
		return nil, err
	}
	if length > pipeContentMost {
		return nil, fmt.Errorf("%d bytes, more than %d", length, pipeContentMost)
	}
	var copies [2]int
	if err := unix.Pipe2(copies[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	defer unix.Close(copies[0])
	defer unix.Close(copies[1])
	// A user with many pipes may have only small ones (pipe(7), pipe-user-pages-soft). The content may fit nevertheless.
	_, limited := unix.FcntlInt(uintptr(copies[1]), unix.F_SETPIPE_SZ, r.Capacity)
	copied, err := unix.Tee(from, copies[1], length, unix.SPLICE_F_NONBLOCK)
	switch {
	case err != nil:
		return nil, fmt.Errorf("tee: %w", err)
	case copied != int64(length) && limited != nil:
		return nil, fmt.Errorf("a copy needs a pipe of %d bytes: %w; root can raise fs.pipe-user-pages-soft", r.Capacity, limited)
	case copied != int64(length):
		return nil, fmt.Errorf("tee: %d bytes of %d", copied, length)
	}
	slots, content, err := takeSlots(copies[0], length)
	r.keepSlots(slots)
	return content, err
}

func pipeRecord(o image.Object) (PipeObject, error) {
	r, err := decode[PipeObject](o.Record)
	if err != nil {
		return r, fmt.Errorf("record of a pipe: %w", err)
	}
	total := 0
	for _, n := range r.Packets {
		if n <= 0 || n > pipeContentMost {
			return r, fmt.Errorf("packet of %d bytes", n)
		}
		total += n
	}
	for _, s := range r.Slots {
		if s.Size <= 0 || s.Size > pipeContentMost || len(r.Packets) > 0 {
			return r, fmt.Errorf("slot of %d bytes", s.Size)
		}
		total += s.Size
	}
	if o.Size > pipeContentMost || len(r.Packets)+len(r.Slots) > 0 && uint64(total) != o.Size {
		return r, fmt.Errorf("%d bytes, in packets or slots %d", o.Size, total)
	}
	return r, nil
}
