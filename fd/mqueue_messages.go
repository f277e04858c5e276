package fd

import (
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// QueuedMessage is a message in a POSIX message queue. Its text is in the content of the object.
type QueuedMessage struct {
	Size     int    `json:"size"`
	Priority uint32 `json:"priority,omitempty"`
}

const (
	priorityMost    = 32767 // MQ_PRIO_MAX - 1
	queuedMost      = 240   // messages of a queue: a list of system calls has two calls for each
	queuedBytesMost = 64 << 20
)

// fill puts the messages into a new queue. What an old queue has is exchanged when nothing else can fail.
func (q *madeQueue) fill(o image.Object, e *Env) error {
	r := &q.record
	if len(r.Waiting) == 0 && !q.old {
		return nil
	}
	var content []byte
	if o.Size > 0 {
		var err error
		if content, err = e.Content(o.ID, int(o.Size)); err != nil {
			return err
		}
	}
	if !q.old {
		return q.put(q.file, content)
	}
	queue, err := duplicate(q.file)
	if err != nil {
		return err
	}
	e.late = append(e.late, func() error {
		defer queue.Close()
		if err := q.drain(queue); err != nil {
			return err
		}
		return q.put(queue, content)
	})
	return nil
}

// drain takes all messages out of a queue.
func (q *madeQueue) drain(queue *os.File) error {
	text := make([]byte, q.record.Size)
	for end := time.Now().Add(time.Second); ; {
		_, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, queue.Fd(), uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)), 0,
			uintptr(unsafe.Pointer(new(unix.Timespec))), 0)
		switch {
		case errno == unix.ETIMEDOUT || errno == unix.EAGAIN:
			return nil
		case errno != 0 && errno != unix.EINTR:
			return fmt.Errorf("POSIX message queue /%s: mq_timedreceive: %w", q.name, errno)
		case time.Now().After(end):
			return fmt.Errorf("POSIX message queue /%s: a process outside of the program sends messages all the time", q.name)
		}
	}
}

func (q *madeQueue) put(queue *os.File, content []byte) error {
	for _, m := range q.record.Waiting {
		text := append(slices.Clone(content[:m.Size]), 0) // never empty, so that it has an address
		content = content[m.Size:]
		_, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, queue.Fd(), uintptr(unsafe.Pointer(&text[0])), uintptr(m.Size), uintptr(m.Priority),
			uintptr(unsafe.Pointer(new(unix.Timespec))), 0)
		if errno != 0 {
			return fmt.Errorf("POSIX message queue /%s: mq_timedsend: %w", q.name, errno)
		}
	}
	return nil
}
