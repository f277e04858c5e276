package fd

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/cause"
	"crak.dev/crak/internal/obstacle"
)

// A madeQueue is a queue that a restart has made or found.
type madeQueue struct {
	record MessageQueue
	file   *os.File
	name   string
	remove bool // the queue had no name; it has one only until all descriptions are made
	old    bool // it was there, and nobody else uses it: its messages are exchanged for those of the image
}

func (q *madeQueue) close() {
	if q.file != nil {
		q.file.Close()
	}
	if q.remove {
		_ = mqUnlink(q.name)
	}
}

// open opens the old queue, if it had a name and still has it. Otherwise open makes a new queue.
func (q *madeQueue) open(e *Env) (err error) {
	r := &q.record
	if !r.Removed {
		q.file, err = mqOpen(q.name, unix.O_RDWR, r)
		switch {
		case err == nil:
			return q.accept(e)
		case !errors.Is(err, unix.ENOENT):
			return err
		}
	}
	const create = unix.O_RDWR | unix.O_CREAT | unix.O_EXCL
	q.file, err = mqOpen(q.name, create, r)
	if errors.Is(err, unix.EEXIST) && r.Removed {
		q.name = "crak." + random()
		q.file, err = mqOpen(q.name, create, r)
	}
	if err != nil {
		return err
	}
	if q.remove = r.Removed; !q.remove {
		e.undo.add(func() { _ = mqUnlink(q.name) })
	}
	return e.setAttributes(q.file, image.File{Path: "POSIX message queue /" + r.Name, Mode: r.Mode}, r.Attributes)
}

// accept checks the queue that has the name now.
func (q *madeQueue) accept(e *Env) error {
	r := &q.record
	a, err := attributesOf(int(q.file.Fd()))
	if err != nil {
		return err
	}
	what := "POSIX message queue /" + r.Name
	if a.messages != r.Messages || a.size != r.Size {
		return obstacle.Obstacle{What: what, Why: fmt.Sprintf("the queue with this name has room for %d messages of %d bytes now, and had room for %d of %d bytes",
			a.messages, a.size, r.Messages, r.Size), Do: "remove that queue (mq_unlink(3))"}
	}
	users := new(Holders).ofOne("/"+r.Name, map[int]bool{os.Getpid(): true})
	switch {
	case len(users) == 0:
		q.old = a.present != 0 || len(r.Waiting) > 0
	case len(r.Waiting) > 0:
		return obstacle.Obstacle{What: what, Why: processName(users[0].pid) + " has it open, so its messages cannot be put back", Do: "end that process"}
	case a.present != 0:
		e.Tell(fmt.Sprintf("%s was empty at the checkpoint, and has %d messages now", what, a.present))
	}
	return nil
}

// isFor checks that users of lesser rights may have the queue that has the name now. A queue of the same owner is that of the checkpoint, or the
// owner has put it there: nobody else can remove the owner's queue.
func (q *madeQueue) isFor(who lessers, flags uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(q.file.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: q.name, Err: err}
	}
	if q.record.Attributes != nil && st.Uid == q.record.Attributes.UID {
		return nil
	}
	for _, u := range who {
		err := u.Do(func() error {
			f, err := mqOpen(q.name, int(flags&unix.O_ACCMODE), &q.record)
			if err == nil {
				f.Close()
			}
			return err
		})
		if err != nil {
			return obstacle.Obstacle{What: "POSIX message queue /" + q.name,
				Why: fmt.Sprintf("belongs to user %d now, and user %d could not open it: %v", st.Uid, u.UID[1], cause.Of(err)), Do: "remove that queue (mq_unlink(3))"}
		}
	}
	return nil
}

// description opens the queue, by mq_open(2) or by open(2) of the file in a mounted mqueue file system. Only open(2) sets O_LARGEFILE.
// The queue's mode may forbid mq_open(2). The owner can then still use open(2).
func (q *madeQueue) description(flags uint32) (*os.File, error) {
	if flags&largeFile == 0 {
		if f, err := mqOpen(q.name, int(flags&unix.O_ACCMODE), &q.record); !errors.Is(err, unix.EACCES) {
			return f, err
		}
	}
	return reopenOurs(q.file, flags)
}

func mqOpen(name string, flags int, r *MessageQueue) (*os.File, error) {
	text, err := unix.BytePtrFromString(name)
	if err != nil {
		return nil, err
	}
	a := queueAttributes{messages: r.Messages, size: r.Size}
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(text)), uintptr(flags|unix.O_NONBLOCK|unix.O_CLOEXEC), 0o600,
		uintptr(unsafe.Pointer(&a)), 0, 0)
	if errno != 0 {
		return nil, fmt.Errorf("POSIX message queue /%s: %w", name, errno)
	}
	return blocking(int(fd), "/"+name)
}

func mqUnlink(name string) error {
	text, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(text)), 0, 0); errno != 0 {
		return fmt.Errorf("mq_unlink /%s: %w", name, errno)
	}
	return nil
}
