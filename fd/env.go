package fd

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Env is what a restart needs to make descriptions: the user's choices, crak's own files, and what crak has made so far.
type Env struct {
	Files Policy
	Force bool // take files that shrank, were replaced, or are gone

	Stdio    [3]*os.File // stdin, stdout and stderr of crak restart, for pipes to other processes; nil: /dev/null
	Terminal *os.File    // of crak restart; nil: /dev/null

	// Memory returns the file of a shared memory object, with its content in it.
	Memory func(image.MemoryID) (*os.File, error)

	// Content returns the content of a kernel object, size bytes.
	Content func(id image.ObjectID, size int) ([]byte, error)

	// Notice gets a line for each thing that is not exactly as it was. May be nil.
	Notice func(string)

	// Fill reads the content of a kernel object piece by piece. It calls fn for each piece, one after the other.
	Fill func(id image.ObjectID, fn func(runs []image.Run, data []byte) error) error

	uses      map[Inode]use // of the files of the image
	lessers   map[image.DescriptionID]lessers
	copies    map[Inode]*savedCopy
	stretches map[Inode][]stretch
	contents  map[Inode]Change // Same, Touched or Unseen: results of comparing stretches

	holders    map[image.DescriptionID]holder
	foreground bool // a process of the image was in the foreground of its terminal

	// SamePids says that crak's PID namespace is that of the program. Then Unix sockets can be made by processes with the PIDs of those
	// that made them before.
	SamePids bool

	// Elsewhere says that the group will have another network namespace than crak has now. So addresses cannot be checked yet.
	Elsewhere bool

	address  *unix.RawSockaddrUnix // argument of a system call
	messages []*message            // more of them
	pairs    unixPairs
	peers    *unixSockets // asks for the peers of accepted Unix sockets; nil: not needed yet

	objects      map[image.ObjectID]image.Object
	made         map[image.ObjectID]madeObject
	filled       map[image.ObjectID]bool
	byMember     map[image.DescriptionID]bool // only a member can make it
	deferred     []deferredFill               // FillDeferred fills these objects
	joinedTCP    bool
	connectedBy  time.Time                        // when new connections to outside of the group must exist
	descriptions map[image.DescriptionID]*os.File // while MakeAll runs
	ptys         map[string]map[uint32]*madePty   // not needed yet, by multiplexer and number

	closeLater []*os.File
	bound      map[Inode]bool // socket files that bind(2) has made

	tmpfiles tmpfiles
	removed  map[Inode]*os.File  // directories that were removed before the checkpoint
	standIns map[string]*os.File // by the path of the missing file; open for reading and writing
	late     []func() error
	last     []func() error // after all of late
	undo     undo
	told     map[string]bool

	moves atomic.Uint64 // counts progress
}

// Moves is a number that changes while the Env makes progress.
func (e *Env) Moves() uint64 { return e.moves.Load() }

// Moved notes that the caller has made progress.
func (e *Env) Moved() { e.moves.Add(1) }

// Undo is what removes the files that MakeAll has made.
type undo struct {
	mu   sync.Mutex
	all  []func()
	over bool // Abandon was called
}

// add is called after a file was made. After Abandon, it removes the file at once: a goroutine that was given up may make more.
func (u *undo) add(remove func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		remove()
		return
	}
	u.all = append(u.all, remove)
}

// cutLater makes Commit cut a file back and set its time of modification. So another restart of the image finds the
// file unchanged.
func (e *Env) cutLater(f *os.File, want image.File) {
	e.late = append(e.late, func() error {
		st, err := f.Stat()
		if err == nil && st.Size() > want.Size {
			err = f.Truncate(want.Size)
		}
		if err != nil {
			return fmt.Errorf("cut back to %d bytes: %w", want.Size, err)
		}
		setModified(f, want.MtimeNs) // fails if the file belongs to another user
		return nil
	})
}

// Commit does what must wait until everything else has succeeded: it cuts files back, sets the terminal's modes, and makes the
// watches of inotify.
// Preconditions: the files that MakeAll returned are still open.
func (e *Env) Commit() error {
	late := append(e.late, e.last...)
	e.late, e.last = nil, nil
	for _, do := range late {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// Abandon removes the files that MakeAll has made. Call it if the restart fails.
func (e *Env) Abandon() {
	e.undo.mu.Lock()
	defer e.undo.mu.Unlock()
	e.undo.over = true
	for _, do := range slices.Backward(e.undo.all) {
		do()
	}
	e.undo.all = nil
}

// CloseObjects closes what MakeAll kept open of objects. Call it when all descriptions are made and filled. From then on only the group has
// the objects open.
func (e *Env) CloseObjects() {
	for _, o := range e.made {
		o.close()
	}
	e.made, e.filled = nil, nil
	e.pairs.close()
	e.peers.close()
	e.peers = nil
	e.closePtys()
}

// Close closes what MakeAll needed. Call it when all descriptions have been handed over.
func (e *Env) Close() {
	e.CloseObjects()
	e.tmpfiles.close()
	for _, f := range e.standIns {
		f.Close()
	}
	for _, f := range e.removed {
		f.Close()
	}
	for _, f := range e.closeLater {
		f.Close()
	}
	e.standIns, e.removed, e.closeLater = nil, nil, nil
}

// Tell passes a text to Notice, each text once: a restart finds the same thing when it checks a file and when it
// opens it. It ignores an empty text.
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

// broken is the obstacle for an image that cannot be decoded.
func broken(err error) obstacle.List {
	return obstacle.List{{What: "image", Why: err.Error(), Do: "take another image: this one is damaged"}}
}
