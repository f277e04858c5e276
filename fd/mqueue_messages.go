package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
)

// A message of a POSIX message queue can be read only by taking it out. So the initiator of a member takes all messages out and puts them
// back, in one list of system calls. It carries out the whole list, even if the writer is killed meanwhile. The list puts the messages back
// in the order in which they came out, which is the order of their priorities. So they come out in the same order again.
//
// All members are frozen meanwhile. A process outside of the group could get in between, so a queue is refused that such a process has open. If
// the initiator's process is killed (SIGKILL) in these microseconds, the messages that it has taken out are lost.

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

// checkMessages returns a reason why the messages of a queue cannot be read.
func (c *capture) checkMessages(o *open, a queueAttributes) string {
	outside := o.member.Holders.ofOne(o.link, c.pids())
	switch {
	case len(outside) > 0:
		return fmt.Sprintf("it has %d messages, which can be read only by taking them out, and %s, outside of the program, has it open", a.present, processName(outside[0].pid))
	case a.present > queuedMost || a.present*a.size > queuedBytesMost:
		return fmt.Sprintf("it has %d messages of up to %d bytes, which are too many to read: they can be read only by taking them out", a.present, a.size)
	case o.within != nil:
		return fmt.Sprintf("it has %d messages, and only a process of the program that has it open can read them", a.present)
	}
	return ""
}

// pids are the PIDs of the group, as the writer sees them.
func (c *capture) pids() map[int]bool {
	all := make(map[int]bool)
	for _, d := range c.members {
		all[d.member.Pid], all[d.member.live()] = true, true
	}
	return all
}

// messages reads the messages of a queue, and leaves them there. The program gets a mapping for the time. If the writer is killed meanwhile,
// the mapping stays.
func (c *capture) messages(o *open, a queueAttributes) (waiting []QueuedMessage, content []byte, err error) {
	m, length := o.member, uint64(a.present*a.size)
	mapped, err := m.Calls([]abi.Call{{Number: unix.SYS_MMAP,
		Args: [6]uint64{0, length, unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_POPULATE, ^uint64(0), 0}}}, nil)
	switch {
	case err != nil:
		return nil, nil, err
	case len(mapped) != 1:
		return nil, nil, errors.New("no answer")
	case mapped[0] < 0 && mapped[0] > -4096:
		return nil, nil, fmt.Errorf("mmap: %w", unix.Errno(-mapped[0]))
	}
	at := uint64(mapped[0])
	waiting, err = takeMessages(o, a, at)
	for i, one := range waiting {
		text := make([]byte, one.Size)
		if one.Size > 0 && err == nil {
			err = readMemory(m.live(), at+uint64(i)*uint64(a.size), text)
		}
		content = append(content, text...)
	}
	_, err2 := m.Calls([]abi.Call{{Number: unix.SYS_MUNMAP, Args: [6]uint64{at, length}}}, nil)
	return waiting, content, errors.Join(err, err2)
}

// takeMessages takes the messages out and puts them back. The i-th message is then at the address at, plus i times the largest size.
func takeMessages(o *open, a queueAttributes, at uint64) ([]QueuedMessage, error) {
	const timeout, priorities = 0, 16 // offsets in the data: a time that is over, so that no call waits
	data := make([]byte, priorities+4*a.present)
	queue, relative := uint64(o.fd), uint32(0)
	var calls []abi.Call
	if o.flags&unix.O_ACCMODE != unix.O_RDWR {
		queue, relative = 0, abi.Result(0)
		calls = []abi.Call{{Number: unix.SYS_OPEN, Relative: abi.Data(0), Args: [6]uint64{uint64(len(data)), unix.O_RDWR | unix.O_CLOEXEC}}}
		data = append(data, fmt.Sprintf("/proc/self/fd/%d\x00", o.fd)...)
	}
	first, n := len(calls), int(a.present)
	for i := range n {
		calls = append(calls, abi.Call{Number: unix.SYS_MQ_TIMEDRECEIVE, Relative: relative | abi.Data(3) | abi.Data(4),
			Args: [6]uint64{queue, at + uint64(i)*uint64(a.size), uint64(a.size), priorities + 4*uint64(i), timeout}})
	}
	for i := range n {
		calls = append(calls, abi.Call{Number: unix.SYS_MQ_TIMEDSEND, Relative: relative | abi.Result(2) | abi.Value(3) | abi.Data(4),
			Args: [6]uint64{queue, at + uint64(i)*uint64(a.size), uint64(first + i), priorities + 4*uint64(i), timeout}})
	}
	if relative != 0 {
		calls = append(calls, abi.Call{Number: unix.SYS_CLOSE, Relative: relative})
	}
	results, err := o.member.Calls(calls, data)
	if err != nil {
		return nil, err
	}
	if len(results) != len(calls) {
		return nil, fmt.Errorf("%d results for %d calls", len(results), len(calls))
	}
	if first > 0 && results[0] < 0 {
		return nil, fmt.Errorf("its messages cannot be taken out: open: %w", unix.Errno(-results[0]))
	}
	var all []QueuedMessage
	for i := range n {
		size, back := results[first+i], results[first+n+i]
		one := QueuedMessage{int(size), binary.NativeEndian.Uint32(data[priorities+4*i:])}
		switch {
		case size < 0:
			return nil, fmt.Errorf("message %d of %d cannot be taken out: %w", i+1, n, unix.Errno(-size))
		case size > a.size || one.Priority > priorityMost:
			return nil, fmt.Errorf("message %d of %d has %d bytes and priority %d", i+1, n, size, one.Priority)
		case back < 0:
			return nil, fmt.Errorf("message %d of %d cannot be put back: %w", i+1, n, unix.Errno(-back))
		}
		all = append(all, one)
	}
	return all, nil
}

// readMemory reads memory of a process (process_vm_readv(2)).
func readMemory(pid int, at uint64, to []byte) error {
	local := []unix.Iovec{{Base: &to[0], Len: uint64(len(to))}}
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(to)}}, 0)
	if err == nil && n != len(to) {
		err = fmt.Errorf("%d bytes of %d", n, len(to))
	}
	return os.NewSyscallError("process_vm_readv", err)
}

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
