package fd

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A UnixMessage is one datagram or packet in the queue of a socket. In the queue of a stream it is a run of bytes. If the run has
// descriptors, they were sent with these bytes, and a read that gets the descriptors reads no byte behind the run. If it has credentials,
// one process has sent all of it.
type UnixMessage struct {
	Size        int                   `json:"size"`
	From        *UnixName             `json:"from,omitempty"`        // nil: the sender has no name
	Descriptors []image.DescriptionID `json:"descriptors,omitempty"` // SCM_RIGHTS, in their order
	Credentials *Credentials          `json:"credentials,omitempty"` // SCM_CREDENTIALS of the sender; nil: the kernel has none
	OutOfBand   bool                  `json:"out_of_band,omitempty"` // one byte of a stream that was sent with MSG_OOB
}

// queueMost bounds the bytes in the queue of one socket. The kernel bounds them by the buffer of the sender.
const queueMost = 256 << 20

// rightsMost is SCM_MAX_FD: how many descriptors a message has at most.
const rightsMost = 253

var (
	errNoRights     = errors.New("descriptors are in its queue, and the writer could not get them: it has too many open (ulimit -n)")
	errQueueTooLong = fmt.Errorf("more than %d bytes are in its queue", queueMost)
)

// A queue is what waits in the receive queue of a socket.
type queue struct {
	content  []byte
	messages []UnixMessage
	rights   [][]*open // of each message; their descriptions get their numbers later
	refusal  error     // why a restart cannot fill the queue again

	arrived func(fds []int) ([]*open, error)                   // takes copies of the descriptors of a message, and closes those that it does not keep
	sender  func(user unix.Ucred, n int) (*Credentials, error) // whom the program would see as the sender of the n bytes
}

// peekStream reads all bytes in the queue of a stream, and leaves them there.
func (q *queue) peekStream(socket int, now *unixReading) error {
	if now.events == 0 {
		return nil
	}
	length, err := unix.IoctlGetInt(socket, unix.TIOCINQ)
	if err != nil || length == 0 {
		return err
	}
	if length > queueMost {
		return errQueueTooLong
	}
	q.content = make([]byte, length)
	oob, inline, err := lookForUrgent(socket, now)
	defer inline()
	if err != nil {
		return err
	}
	from, back, err := beginPeeking(socket, now)
	if err != nil {
		return err
	}
	defer back()
	var starts []int // of what each call has read
	for at := 0; at < length; {
		if err := from.at(at); err != nil {
			return err
		}
		starts = append(starts, at)
		p, err := q.peek(socket, q.content[at:])
		if err == nil && p.n <= 0 {
			err = fmt.Errorf("%d bytes of %d", at, length)
		}
		if err != nil {
			return err
		}
		from.moved(p.n)
		if p.rights == nil {
			q.add(p, nil, true)
			at += p.n
			continue
		}
		rights, err := q.arrived(p.rights)
		if err != nil {
			return err
		}
		before, err := bytesBefore(socket, from, at, p.n)
		if err != nil {
			return err
		}
		if before > 0 {
			q.add(peeked{n: before, sender: p.sender}, nil, true)
		}
		q.add(peeked{n: p.n - before, sender: p.sender}, rights, false)
		at += p.n
	}
	if oob.waits {
		return q.mark(oob, starts)
	}
	if len(q.messages) == 1 && q.rights[0] == nil && q.messages[0].Credentials == nil {
		q.messages, q.rights = nil, nil
	}
	return nil
}

// add adds a message. It joins bytes of a stream without descriptors to such bytes of the same sender before them.
func (q *queue) add(p peeked, rights []*open, join bool) {
	if last := len(q.messages) - 1; join && last >= 0 && q.rights[last] == nil && q.messages[last].Credentials.same(p.sender) {
		q.messages[last].Size += p.n
		return
	}
	q.messages, q.rights = append(q.messages, UnixMessage{Size: p.n, From: p.from, Credentials: p.sender}), append(q.rights, rights)
}

// bytesBefore looks at bytes of a stream that end with the bytes of a call of sendmsg(2) with descriptors. It returns how many bytes
// earlier calls have sent. The kernel copies the bytes of one call as a whole or not at all. So bytesBefore peeks into a buffer that lacks
// one byte, and whose next address is not mapped: the kernel then copies only the bytes of the earlier calls.
func bytesBefore(socket int, from *peekOffset, at, length int) (int, error) {
	page := os.Getpagesize()
	size := (length + page - 1) / page * page
	memory, err := unix.Mmap(-1, 0, size+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return 0, os.NewSyscallError("mmap", err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	if err := unix.Mprotect(memory[size:], unix.PROT_NONE); err != nil {
		return 0, os.NewSyscallError("mprotect", err)
	}
	if err := from.set(at); err != nil {
		return 0, err
	}
	p, err := peekInto(socket, memory[size-length+1:][:length], nil)
	if err == unix.EFAULT {
		p.n, err = 0, nil
	}
	if err == nil {
		err = from.set(at + length)
	}
	return p.n, err
}

// peekMessages reads all messages in the queue of a datagram or seqpacket socket, and leaves them there.
func (q *queue) peekMessages(socket int, now *unixReading) error {
	if now.events == 0 {
		return nil
	}
	buffer := make([]byte, 64<<10)
	at := 0 // where the next message starts in the queue
	from, back, err := beginPeeking(socket, now)
	if err != nil {
		return err
	}
	defer back()
	if err := from.set(0); err != nil {
		return err
	}
	for {
		p, err := q.peek(socket, buffer)
		switch {
		case err == unix.EAGAIN:
			return q.checkFirst(socket, from)
		case err != nil:
			return err
		case len(q.content)+p.n > queueMost || len(q.messages) > queueMost/64:
			closeAll(p.rights)
			return errQueueTooLong
		case p.n > len(buffer):
			closeAll(p.rights)
			buffer = make([]byte, p.n)
			if err := from.set(at); err != nil {
				return err
			}
			continue
		}
		if !p.isMessage { // recvmsg(2) returned 0 at the end of what the peer has sent
			return q.checkFirst(socket, from)
		}
		var rights []*open
		if p.rights != nil {
			if rights, err = q.arrived(p.rights); err != nil {
				return err
			}
		}
		q.content = append(q.content, buffer[:p.n]...)
		q.add(p, rights, false)
		at += p.n
	}
}

// checkFirst refuses a queue that begins with an empty message that was peeked at before, by an earlier checkpoint or by the program. With
// SO_PEEK_OFF the kernel shows such a message only once. An empty message behind others that was peeked at before cannot be found.
func (q *queue) checkFirst(socket int, from *peekOffset) error {
	if len(q.messages) > 0 && q.messages[0].Size == 0 {
		return nil
	}
	if err := from.set(-1); err != nil {
		return err
	}
	p, err := peekInto(socket, make([]byte, 1), make([]byte, unix.CmsgSpace(unix.SizeofUcred)))
	if err == nil && p.n == 0 && p.isMessage {
		return passing("an empty message waits in it that an earlier checkpoint has looked at, and the kernel shows it only once")
	}
	return nil
}

// widen makes the buffer of a sending socket as large as possible. The result is a function that sets the old size again.
func widen(socket int) (back func()) { return widenOption(socket, "sndbuf") }

// prepareToSend makes the buffer of a sending socket as large as possible, and has the kernel record no credentials of crak with what it
// sends. The result is a function that sets the old options again.
func prepareToSend(socket int) (back func()) {
	options := []func(){widen(socket)}
	for _, name := range []string{"pass_cred", "pass_pidfd"} {
		if back, err := setFor(socket, name, 0); err == nil {
			options = append(options, back)
		}
	}
	return func() {
		for _, back := range options {
			back()
		}
	}
}

func widenOption(socket int, name string) (back func()) {
	option := socketOptions[name]
	before := option.get(socket)
	_ = option.set(socket, []int32{1 << 30})
	return func() { _ = option.set(socket, before) }
}

// peerName is getpeername(2).
func peerName(socket int, a *unix.RawSockaddrUnix) (uint32, error) {
	length := uint32(unsafe.Sizeof(*a))
	_, _, errno := unix.Syscall(unix.SYS_GETPEERNAME, uintptr(socket), uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(&length)))
	if errno != 0 {
		return 0, errno
	}
	return length, nil
}
