package fd

import (
	"fmt"
	"os"

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

	// Content gives the content of a kernel object, which has a number of bytes.
	Content func(id image.ObjectID, size int) ([]byte, error)

	// Notice is told, in a line, what is not quite as it was. May be nil.
	Notice func(string)

	uses      map[Inode]use // of the files of the image
	stretches map[Inode][]stretch
	contents  map[Inode]Change // Same, Touched or Unseen: what was found out by stretches

	objects map[image.ObjectID]image.Object
	pipes   map[image.ObjectID]*madePipe

	standIns map[string]*os.File // open for reading and writing, by the path of what is gone
	late     []func() error
	undo     []func()
	told     map[string]bool
}

// cutLater has Commit cut a file back, and set its time of modification: another restart of the image finds it as it was.
func (e *Env) cutLater(f *os.File, want image.File) {
	e.late = append(e.late, func() error {
		st, err := f.Stat()
		if err == nil && st.Size() > want.Size {
			err = f.Truncate(want.Size)
		}
		if err != nil {
			return fmt.Errorf("cut back to %d bytes: %w", want.Size, err)
		}
		setModified(f, want.MtimeNs) // may be the owner's right alone
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

// ClosePipes is for when every description is made: from now on a pipe has no ends but those of the group.
func (e *Env) ClosePipes() {
	for _, p := range e.pipes {
		p.close()
	}
	e.pipes = nil
}

// Close closes what Make needed. It is for when every description is where it belongs.
func (e *Env) Close() {
	e.ClosePipes()
	for _, f := range e.standIns {
		f.Close()
	}
	e.standIns = nil
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
