package fd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Env is what descriptions are made from, at a restart.
type Env struct {
	Files Policy // "" is Keep
	Force bool   // take files that shrank, were replaced, or are gone

	Stdio    [3]*os.File // stdin, stdout and stderr of crak restart, for pipes to the outside; nil: /dev/null
	Terminal *os.File    // that crak restart runs from; nil: /dev/null

	// Memory gives the file of a shared memory object, with its content in place.
	Memory func(image.MemoryID) (*os.File, error)

	// Notice is told, in a line, what is not quite as it was. May be nil.
	Notice func(string)

	writers map[Inode]bool // files of the image that the program writes to

	late []func() error
	undo []func()
	told map[string]bool
}

// Know tells which files the members of a group write to, by whatever descriptor or mapping: only then Check,
// Make and Judge can tell their changes from those of a file that is only read.
func (e *Env) Know(g *image.Group) {
	e.writers = make(map[Inode]bool)
	for _, d := range g.Descriptions {
		if r, err := record[Regular](d); d.Kind == regular.name && err == nil && writes(d) {
			e.writers[inodeOf(r.File)] = true
		}
	}
	for _, p := range g.Processes {
		for _, m := range p.Mappings {
			if m.File != nil && m.Shared && m.Writable {
				e.writers[inodeOf(*m.File)] = true
			}
		}
	}
}

func inodeOf(f image.File) Inode { return Inode{f.Device, f.Inode} }

// Judge compares a file with the one at its path and decides whether it may be taken. The notice, if any, is for the user of
// a restart that goes on. It serves for mapped files as well: writable is for those mapped shared and writable.
func (e *Env) Judge(want image.File, writable bool) (notice string, obstacles obstacle.List) {
	writable = writable || e.writers[inodeOf(want)]
	c := CompareFile(want)
	message := want.Path + ": " + c.String()
	switch {
	case c.Change == Same:
		return "", nil
	case e.Force && c.Change == Gone:
		return message + "; an empty file stands in for it (--force)", nil
	case e.Force && c.Have.Mode&unix.S_IFMT == want.Mode&unix.S_IFMT:
		return message + "; taken as it is (--force)", nil
	case e.Files == Strict:
		return "", obstacle.List{{
			What: want.Path,
			Why:  c.String(),
			Do:   "put the file back as it was, or restart without --files=strict",
		}}
	case c.Change == Copied:
		return message, nil
	case writable && (c.Change == Grown || c.Change == Touched):
		if e.Files == Rewind && c.Change == Grown {
			return fmt.Sprintf("%s; cut back", message), nil
		}
		return message + "; taken as it is", nil
	}
	return "", obstacle.List{{
		What: want.Path,
		Why:  c.String(),
		Do:   "put the file back as it was, or restart with --force to take what is there",
	}}
}

// rewindLater has Commit cut a file back.
func (e *Env) rewindLater(f *os.File, size int64) {
	e.late = append(e.late, func() error {
		st, err := f.Stat()
		if err == nil && st.Size() > size {
			err = f.Truncate(size)
		}
		if err != nil {
			return fmt.Errorf("cut back to %d bytes: %w", size, err)
		}
		return nil
	})
}

// Commit does what must not be done before everything else has worked: it cuts files back and sets the
// terminal's modes.
// Preconditions: the files that Make returned are still open.
func (e *Env) Commit() error {
	late := e.late
	e.late = nil
	for _, do := range late {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// Abandon is for a restart that has failed: it removes the files that Make has made.
func (e *Env) Abandon() {
	for _, do := range e.undo {
		do()
	}
	e.undo = nil
}

// Tell gives Notice each text once, and no empty one: a restart checks before it makes.
func (e *Env) Tell(text string) {
	if text == "" || e.Notice == nil || e.told[text] {
		return
	}
	if e.told == nil {
		e.told = make(map[string]bool)
	}
	e.told[text] = true
	e.Notice(text)
}

// broken is an image that cannot be understood, as an obstacle.
func broken(err error) obstacle.List {
	return obstacle.List{{What: "image", Why: err.Error(), Do: "take another image: this one is damaged"}}
}
