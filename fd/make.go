package fd

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// setFlags are the flags that F_SETFL can change (fcntl(2)), except O_ASYNC. The restored process sets O_ASYNC after
// it has set the owner.
const setFlags = unix.O_APPEND | unix.O_NONBLOCK | unix.O_DIRECT | unix.O_NOATIME

// MakeAll makes descriptions, in phases: it creates all of them, connects them, and fills them. Preconditions: each comes after
// those that it refers to (Order).
func MakeAll(all []image.Description, env *Env) (files []*os.File, err error) {
	env.descriptions, env.byMember = make(map[image.DescriptionID]*os.File), make(map[image.DescriptionID]bool)
	for _, d := range all {
		env.byMember[d.ID] = ByMember(d)
	}
	defer func() {
		if err == nil {
			if !env.Deferred() {
				env.descriptions = nil
			}
			return
		}
		env.descriptions = nil
		for _, f := range files {
			f.Close()
		}
	}()
	for _, d := range all {
		f, err := env.create(d)
		if err != nil {
			return files, env.about(d, err)
		}
		files = append(files, f)
		env.descriptions[d.ID] = f
	}
	for _, phase := range []func(*kind, image.Description) error{env.connect, env.fill} {
		for _, d := range all {
			k, err := kindNamed(d.Kind)
			if err == nil {
				err = phase(k, d)
			}
			if err != nil {
				return files, fmt.Errorf("description %d: %w", d.ID, err)
			}
		}
	}
	return files, nil
}

// about says which process and descriptor an obstacle is about. Any other error is about the description.
func (e *Env) about(d image.Description, err error) error {
	var o obstacle.Obstacle
	h, known := e.holders[d.ID]
	if !errors.As(err, &o) || !known {
		return fmt.Errorf("description %d: %w", d.ID, err)
	}
	o.Pid, o.Where = h.pid, h.where
	return o
}

func (e *Env) create(d image.Description) (*os.File, error) {
	e.Moved()
	k, err := kindNamed(d.Kind)
	if err != nil {
		return nil, err
	}
	f, err := k.create(d, e)
	if err != nil {
		return nil, err
	}
	if f, err = e.withAsync(f, k, d); err == nil {
		err = finish(f, k, d)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (e *Env) connect(k *kind, d image.Description) error {
	if k.connect == nil {
		return nil
	}
	return k.connect(d, e)
}

func (e *Env) fill(k *kind, d image.Description) error {
	e.Moved()
	if err := e.fillObject(d.Object); err != nil || k.fill == nil {
		return err
	}
	return k.fill(d, e)
}

// description returns a description that was made, for connect and fill. It stays open until all are made.
func (e *Env) description(id image.DescriptionID) (*os.File, error) {
	if f := e.descriptions[id]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("description %d: none was made", id)
}

func finish(f *os.File, k *kind, d image.Description) error {
	if d.Flags&unix.O_PATH != 0 || k.byMember != nil && k.byMember(d) {
		return nil
	}
	gone := false // a directory that has been removed: it has no entries, and the kernel may refuse its old offset
	if k.name == directory.name && d.Offset != 0 {
		// If an ext4 directory is not read before its offset is set to the end, a later rewind finds no entries.
		_, err := unix.ReadDirent(int(f.Fd()), make([]byte, 4096))
		if gone = errors.Is(err, unix.ENOENT); err != nil && !gone {
			return &os.PathError{Op: "getdents64", Path: f.Name(), Err: err}
		}
	}
	if k.seeks && d.Offset != 0 {
		if _, err := f.Seek(d.Offset, io.SeekStart); err != nil && !gone {
			return err
		}
	}
	if err := setStatus(f, k, d.Flags); err != nil {
		return &os.PathError{Op: "F_SETFL", Path: f.Name(), Err: err}
	}
	return lock(f, d.Locks)
}

func setStatus(f *os.File, k *kind, flags uint32) error {
	change := uint32(setFlags)
	if k.inherited {
		change = unix.O_NONBLOCK
	}
	now, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || uint32(now)&change == flags&change {
		return err
	}
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, int(uint32(now)&^change|flags&change))
	return err
}

// Check finds every obstacle of MakeAll, and makes nothing.
func Check(d image.Description, env *Env) obstacle.List {
	k, err := kindNamed(d.Kind)
	if err != nil {
		return broken(fmt.Errorf("description %d: %w", d.ID, err))
	}
	if k.check == nil {
		return nil
	}
	return k.check(d, env)
}

// CheckGroup checks every description of a group. Each obstacle says which process and descriptor it is about.
func CheckGroup(g *image.Group, env *Env) obstacle.List {
	var all obstacle.List
	env.Know(g)
	if err := CheckReferences(g); err != nil {
		all = broken(err)
	}
	for _, d := range g.Descriptions {
		h, ok := env.holders[d.ID]
		if !ok {
			h.where = fmt.Sprintf("description %d", d.ID)
		}
		env.Moved()
		for _, o := range Check(d, env) {
			o.Pid, o.Where = h.pid, h.where
			all = append(all, o)
		}
	}
	return all
}

// A holder is the first process and descriptor that have a description.
type holder struct {
	pid   int
	where string
}

func holdersOf(g *image.Group) map[image.DescriptionID]holder {
	holders := make(map[image.DescriptionID]holder)
	for i := range g.Processes {
		for _, d := range g.Processes[i].Descriptors {
			if _, ok := holders[d.Description]; !ok {
				holders[d.Description] = holder{int(g.Processes[i].Pid), fmt.Sprintf("fd %d", d.Fd)}
			}
		}
	}
	return holders
}

// Describe tells a user what a description is open on: "/tmp/x", "pipe", "terminal /dev/pts/3".
func Describe(d image.Description) string {
	k, err := kindNamed(d.Kind)
	if err != nil {
		return d.Kind
	}
	if k.describe == nil {
		return k.name
	}
	return k.describe(d)
}
