package restore

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/sysv"
)

// messages are a System V message queue.
type messages struct {
	*image.MessageQueue
	have sysv.QueueDesc
}

func (q *messages) kind() (name, next string) { return "message queue", "msg_next_id" }
func (q *messages) saved() *image.SysV        { return &q.SysV }

func (q *messages) get(key int32, flags int) (int, error) { return sysv.MsgGet(key, flags) }

func (q *messages) stat() (*unix.SysvIpcPerm, error) {
	_, err := sysv.MsgCtl(q.SysV.ID, unix.IPC_STAT, &q.have)
	return &q.have.Perm, err
}

func (q *messages) usable() error {
	last := max(q.have.Stime, q.have.Rtime, q.have.Ctime)
	for _, pid := range []int32{q.have.Sender, q.have.Receiver} {
		if lives(int(pid), last) {
			return errUsed(int(pid))
		}
	}
	return nil
}

// needs is the limit with which all messages fit, and their longest text. The kernel counts the bytes, and also the messages.
func (q *messages) needs() (limit uint64, longest int) {
	bytes := 0
	for _, m := range q.Messages {
		bytes += len(m.Text)
		longest = max(longest, len(m.Text))
	}
	return uint64(max(bytes, len(q.Messages))), longest
}

// set always calls the kernel, as for semaphores. It also sets the limit. Until all messages are back, it may have to be larger than at the checkpoint.
func (q *messages) set(mode uint32) error {
	perm, err := q.stat()
	if err != nil {
		return err
	}
	needed, longest := q.needs()
	if err := checkLongest(longest); err != nil {
		return err
	}
	was := q.have.Limit
	same := own(perm, &q.SysV, mode)
	if q.have.Limit = q.Limit; mode != q.SysV.Mode {
		q.have.Limit = max(needed, q.Limit)
	}
	_, err = sysv.MsgCtl(q.SysV.ID, unix.IPC_SET, &q.have)
	if same && q.have.Limit == was && errors.Is(err, unix.EPERM) {
		return nil // it belongs to another user
	}
	if errors.Is(err, unix.EPERM) && q.have.Limit > was {
		return fmt.Errorf("its limit of %d bytes is above kernel.msgmnb: %w", q.have.Limit, err)
	}
	return err
}

// checkLongest compares a length with the limit of this IPC namespace.
func checkLongest(length int) error {
	text, err := os.ReadFile("/proc/sys/kernel/msgmax")
	if err != nil {
		return err
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && length > most {
		return fmt.Errorf("a message has %d bytes, and kernel.msgmax is %d", length, most)
	}
	return err
}

// mostDropped bounds the messages that fill takes out of a queue: another process may send messages without end. Tests change it.
var mostDropped = 1 << 20

// fill replaces the messages.
func (q *messages) fill() error {
	err := sysv.Drop(q.SysV.ID)
	for n := 1; err == nil && n < mostDropped; n++ {
		err = sysv.Drop(q.SysV.ID)
	}
	if err == nil {
		return errors.New("another process sends messages to it all the time")
	}
	if !errors.Is(err, unix.ENOMSG) {
		return fmt.Errorf("msgrcv: %w", err)
	}
	if len(q.Messages) == 0 { // the next checkpoint looks for a queue that crak has used
		if err := sysv.Send(q.SysV.ID, 1, nil); err != nil {
			return fmt.Errorf("msgsnd: %w", err)
		}
		return sysv.Drop(q.SysV.ID)
	}
	for i, m := range q.Messages {
		if err := sysv.Send(q.SysV.ID, m.Type, m.Text); err != nil {
			return fmt.Errorf("message %d: msgsnd: %w", i, err)
		}
	}
	return nil
}

func (q *messages) remove() { sysv.MsgCtl(q.SysV.ID, unix.IPC_RMID, nil) }
