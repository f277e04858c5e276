package fd

import (
	"fmt"
	"os"
	"path"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/retry"
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
	asks: func(d image.Description) image.Pid {
		n, err := queueOpen(d)
		if err != nil || n == nil {
			return 0
		}
		return n.Process
	},
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
	queue, err := retry.Open(o.path(), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
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
