package dump

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/sysv"
)

const (
	typeSize  = 8   // of the type before the text of a message
	shortText = 256 // bytes; longer messages are asked for a second time
)

// A messageQueue is a queue of the IPC namespace.
type messageQueue struct {
	image.MessageQueue
	desc   sysv.QueueDesc
	users  []lastUse
	failed unix.Errno // of msgrcv
}

// messageQueues records the message queues.
func (c *sysvCapture) messageQueues() error {
	all, err := c.allQueues()
	if err != nil || len(all) == 0 {
		return err
	}
	all = slices.DeleteFunc(all, func(q *messageQueue) bool {
		return !c.belongs(&q.desc.Perm, q.users, max(q.desc.Stime, q.desc.Rtime, q.desc.Ctime))
	})
	if err := c.readQueues(all); err != nil {
		return err
	}
	for _, q := range all {
		if q.failed != 0 {
			why, do := whyNotCopied(q.failed)
			c.refuse(fmt.Sprintf("System V message queue %d", q.SysV.ID), why, do)
			continue
		}
		c.found.Queues = append(c.found.Queues, q.MessageQueue)
	}
	return nil
}

// whyNotCopied says why a message cannot be read without taking it out of its queue.
func whyNotCopied(errno unix.Errno) (why, do string) {
	switch errno {
	case unix.ENOSYS:
		return "this kernel cannot copy messages (it has no CONFIG_CHECKPOINT_RESTORE)", "checkpoint the program when the queue is empty"
	case unix.E2BIG:
		return fmt.Sprintf("a message of it is longer than %d bytes, or its messages are longer than %d bytes in all", longestText, sysvText),
			"checkpoint the program when the message has been received"
	}
	return fmt.Sprintf("its messages cannot be copied: msgrcv(MSG_COPY): %v", errno), "remove it (ipcrm -q) if the program does not need it"
}

const longestText = abi.DataMax - typeSize

// allQueues lists the queues of the IPC namespace.
func (c *sysvCapture) allQueues() (all []*messageQueue, err error) {
	root := c.members[0]
	call := abi.Call{Number: unix.SYS_MSGCTL, Relative: abi.Data(2), Args: [6]uint64{0, sysv.MsgStatAny}}
	err = listSysV(c, call, root.queues.Queues, root.lastQueue, func(id int64, desc *sysv.QueueDesc) {
		q := &messageQueue{MessageQueue: image.MessageQueue{SysV: sysvOf(id, &desc.Perm), Limit: desc.Limit}, desc: *desc}
		for _, u := range []lastUse{{image.Pid(desc.Sender), desc.Stime}, {image.Pid(desc.Receiver), desc.Rtime}} {
			if u.pid > 0 {
				q.users = append(q.users, u)
			}
		}
		all = append(all, q)
	})
	return all, err
}

// readQueues copies the messages.
func (c *sysvCapture) readQueues(all []*messageQueue) error {
	longest := min(int(c.members[0].queues.Message), longestText)
	total := uint64(0)
	for _, q := range all {
		// Each number has a bound, because the resident can answer any: the sum could be small again.
		if total += min(q.desc.Bytes, sysvText+1) + min(q.desc.Messages, sysvText+1); total > sysvText {
			q.failed = unix.E2BIG
			continue
		}
		q.Messages = make([]image.Message, q.desc.Messages)
		long, err := c.readMessages(q, len(q.Messages), func(i int) int { return i }, min(shortText, longest))
		if err != nil {
			return err
		}
		if long, err = c.readMessages(q, len(long), func(i int) int { return long[i] }, longest); err != nil {
			return err
		}
		if len(long) > 0 {
			q.failed = unix.E2BIG
		}
	}
	return nil
}

// readMessages copies n messages of a queue. index tells which. It returns the indexes of messages that are longer than size.
func (c *sysvCapture) readMessages(q *messageQueue, n int, index func(int) int, size int) (longer []int, err error) {
	var ask resident.Questions
	for i := range n {
		at := index(i)
		call := abi.Call{Number: unix.SYS_MSGRCV, Relative: abi.Data(1),
			Args: [6]uint64{uint64(q.SysV.ID), 0, uint64(size), uint64(at), sysv.Copy | unix.IPC_NOWAIT}}
		ask.Ask(call, make([]byte, typeSize+size), func(length int64, data []byte) {
			switch errno := unix.Errno(max(-length, 0)); {
			case errno == unix.E2BIG:
				longer = append(longer, at)
			case errno != 0:
				q.failed = errno
			case length <= int64(size):
				q.Messages[at] = image.Message{Type: int64(binary.NativeEndian.Uint64(data)), Text: slices.Clone(data[typeSize : typeSize+length])}
			}
		})
	}
	return longer, c.ask(&ask)
}
