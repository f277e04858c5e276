package fd

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/cause"
	"crak.dev/crak/internal/obstacle"
)

// MessageQueue is the record of a POSIX message queue (mq_overview(7)). A queue outlives its program. So a restart uses the old queue, or
// makes a new one if it is gone.
type MessageQueue struct {
	Name       string      `json:"name"` // without the slash
	Removed    bool        `json:"removed,omitempty"`
	Mode       uint32      `json:"mode"`
	Attributes *Attributes `json:"attributes,omitempty"`
	Messages   int64       `json:"messages"` // how many messages it may have
	Size       int64       `json:"size"`     // how many bytes a message may have

	Waiting []QueuedMessage `json:"waiting,omitempty"` // in the order in which mq_receive(3) returns them
}

// mqueueMagic is the type of the file system of message queues.
const mqueueMagic = 0x19800202

// queueNameMost is NAME_MAX.
const queueNameMost = 255

func isQueue(o *open) bool {
	return o.format() == unix.S_IFREG && o.hasPath() && o.filesystem == mqueueMagic && o.flags&unix.O_PATH == 0
}

// messageQueue is a description of a POSIX message queue.
var messageQueue = kind{
	name: "mqueue",
	is:   isQueue,
	capture: func(c *capture, o *open) (any, error) {
		var err error
		c.object, err = c.objectOf(o, &queueObjects, func() (any, []byte, error) {
			return c.lookAtQueue(o)
		})
		a := c.askers[o.inode()]
		if err != nil || a == nil || a.through != o {
			return nil, err
		}
		if a.socket != nil {
			c.later = append(c.later, func() error {
				a.Socket = c.ids[a.socket]
				return nil
			})
		}
		return &QueueOpen{&a.QueueNotification}, nil
	},
	describe: func(d image.Description) string { return fmt.Sprintf("POSIX message queue %d", d.Object) },
	create: func(d image.Description, env *Env) (*os.File, error) {
		n, err := queueOpen(d)
		if err != nil {
			return nil, err
		}
		q, err := object[*madeQueue](d.Object, &queueObjects, env)
		if err == nil && n != nil {
			err = q.checkFree()
		}
		if err == nil {
			err = q.isFor(env.lessers[d.ID], d.Flags)
		}
		if err != nil {
			return nil, err
		}
		return q.description(d.Flags)
	},
	attach: attachQueue,
	refers: func(d image.Description) (all References) {
		if n, err := queueOpen(d); err == nil && n != nil {
			all.Processes = []image.Pid{n.Process}
			if n.Socket != 0 {
				all.Descriptions = []image.DescriptionID{n.Socket}
			}
		}
		return all
	},
}

var queueObjects = objectKind{
	name: "mqueue",
	check: func(o image.Object) error {
		_, err := queueRecord(o)
		return err
	},
	make: func(o image.Object, env *Env) (madeObject, error) {
		r, err := queueRecord(o)
		if err != nil {
			return nil, err
		}
		q := &madeQueue{record: r, name: r.Name}
		if err := q.open(env); err != nil {
			q.close()
			return nil, err
		}
		return q, nil
	},
}

func queueRecord(o image.Object) (MessageQueue, error) {
	r, err := decode[MessageQueue](o.Record)
	switch {
	case err != nil:
		return r, fmt.Errorf("record of a POSIX message queue: %w", err)
	case r.Name == "" || len(r.Name) > queueNameMost || strings.ContainsAny(r.Name, "/\x00"):
		return r, fmt.Errorf("%.40q: not a name of a POSIX message queue", r.Name)
	case r.Messages < 1 || r.Size < 1 || r.Size > queuedBytesMost || int64(len(r.Waiting)) > r.Messages:
		return r, fmt.Errorf("POSIX message queue of %d messages of %d bytes", r.Messages, r.Size)
	}
	total := uint64(0)
	for _, m := range r.Waiting {
		if m.Size < 0 || int64(m.Size) > r.Size || m.Priority > priorityMost {
			return r, fmt.Errorf("a message of %d bytes with priority %d", m.Size, m.Priority)
		}
		total += uint64(m.Size)
	}
	if total != o.Size || total > queuedBytesMost {
		return r, fmt.Errorf("%d bytes, in messages %d", o.Size, total)
	}
	return r, r.Attributes.check()
}

// queueAttributes is struct mq_attr.
type queueAttributes struct {
	flags, messages, size, present int64
	_                              [4]int64
}

func attributesOf(queue int) (a queueAttributes, err error) {
	if _, _, errno := unix.Syscall(unix.SYS_MQ_GETSETATTR, uintptr(queue), 0, uintptr(unsafe.Pointer(&a))); errno != 0 {
		return a, os.NewSyscallError("mq_getattr", errno)
	}
	return a, nil
}

// lookAtQueue opens the queue once more, so that the program's description does not change.
func (c *capture) lookAtQueue(o *open) (any, []byte, error) {
	refused := func(why string) obstacle.Obstacle {
		return obstacle.Obstacle{What: "POSIX message queue " + o.link, Why: why, Do: closeIt}
	}
	queue, err := unix.Open(o.path(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, refused("crak cannot open it: " + err.Error())
	}
	defer unix.Close(queue)
	a, err := attributesOf(queue)
	if err != nil {
		return nil, nil, err
	}
	from, err := c.askerOf(o, queue)
	if err != nil {
		return nil, nil, refused(err.Error())
	}
	if from != nil {
		if c.askers == nil {
			c.askers = make(map[Inode]*asker)
		}
		c.askers[o.inode()] = from
	}
	r := &MessageQueue{Name: path.Base(strings.TrimSuffix(o.link, deletedMark)), Mode: o.stat.Mode & 0o7777, Messages: a.messages, Size: a.size}
	r.Removed = o.stat.Nlink == 0
	if !r.Removed {
		r.Name = path.Base(o.link)
	}
	x := &queueExchange{o: o, limits: a, from: from}
	if r.Attributes, err = o.attributes(); err != nil || !x.needed() {
		return r, nil, err
	}
	if why := c.checkMessages(x); why != "" {
		return nil, nil, refused(why)
	}
	if o.member.Calls == nil {
		return r, nil, nil
	}
	var content []byte
	if r.Waiting, content, err = x.all(); err != nil {
		why := refused(err.Error())
		why.Passes = passes(err)
		return nil, nil, why
	}
	return r, content, nil
}

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
	return e.dress(q.file, image.File{Path: "POSIX message queue /" + r.Name, Mode: r.Mode}, r.Attributes)
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
