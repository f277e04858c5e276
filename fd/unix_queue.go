package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A UnixMessage is one datagram or packet in the queue of a socket. In the queue of a stream it is a run of bytes. If the run has
// descriptors, they were sent with these bytes, and a read that gets the descriptors reads no byte behind the run.
type UnixMessage struct {
	Size        int                   `json:"size"`
	From        *UnixName             `json:"from,omitempty"`        // nil: the sender has no name
	Descriptors []image.DescriptionID `json:"descriptors,omitempty"` // SCM_RIGHTS, in their order
}

// queueMost bounds the bytes in the queue of one socket. The kernel bounds them by the buffer of the sender.
const queueMost = 256 << 20

// rightsMost is SCM_MAX_FD: how many descriptors a message has at most.
const rightsMost = 253

var (
	errCredentials  = errors.New("credentials are in its queue (SCM_CREDENTIALS)")
	errNoRights     = errors.New("descriptors are in its queue, and the writer could not get them: it has too many open (ulimit -n)")
	errQueueTooLong = fmt.Errorf("more than %d bytes are in its queue", queueMost)
)

// A queue is what waits in the receive queue of a socket.
type queue struct {
	content  []byte
	messages []UnixMessage
	rights   [][]*open // of each message; their descriptions get their numbers later
	refusal  error     // why a restart cannot fill the queue again

	arrived func(fds []int) ([]*open, error) // takes copies of the descriptors of a message, and closes those that it does not keep
}

// peekStream reads all bytes in the queue of a stream, and leaves them there.
func (q *queue) peekStream(socket int) error {
	length, err := unix.IoctlGetInt(socket, unix.TIOCINQ)
	if err != nil || length == 0 {
		return err
	}
	if length > queueMost {
		return errQueueTooLong
	}
	q.content = make([]byte, length)
	back, err := peekFrom(socket, 0)
	if err != nil {
		return err
	}
	defer back()
	for at := 0; at < length; {
		p, err := peek(socket, q.content[at:])
		if err == nil && p.n <= 0 {
			err = fmt.Errorf("%d bytes of %d", at, length)
		}
		if err != nil {
			return err
		}
		if p.rights == nil {
			q.add(p, nil, true)
			at += p.n
			continue
		}
		rights, err := q.arrived(p.rights)
		if err != nil {
			return err
		}
		before, err := bytesBefore(socket, at, p.n)
		if err != nil {
			return err
		}
		if before > 0 {
			q.add(peeked{n: before}, nil, true)
		}
		q.add(peeked{n: p.n - before}, rights, false)
		at += p.n
	}
	if len(q.messages) == 1 && q.rights[0] == nil {
		q.messages, q.rights = nil, nil
	}
	return nil
}

// add adds a message. It joins bytes of a stream without descriptors to such bytes before them.
func (q *queue) add(p peeked, rights []*open, join bool) {
	if last := len(q.messages) - 1; join && last >= 0 && q.rights[last] == nil {
		q.messages[last].Size += p.n
		return
	}
	q.messages, q.rights = append(q.messages, UnixMessage{Size: p.n, From: p.from}), append(q.rights, rights)
}

// bytesBefore looks at bytes of a stream that end with the bytes of a call of sendmsg(2) with descriptors. It returns how many bytes
// earlier calls have sent. The kernel copies the bytes of one call as a whole or not at all. So bytesBefore peeks into a buffer that lacks
// one byte, and whose next address is not mapped: the kernel then copies only the bytes of the earlier calls.
func bytesBefore(socket, at, length int) (int, error) {
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
	if _, err := peekFrom(socket, at); err != nil {
		return 0, err
	}
	p, err := peekInto(socket, memory[size-length+1:][:length], nil)
	if err == unix.EFAULT {
		p.n, err = 0, nil
	}
	if err == nil {
		_, err = peekFrom(socket, at+length)
	}
	return p.n, err
}

// peekMessages reads all messages in the queue of a datagram or seqpacket socket, and leaves them there.
func (q *queue) peekMessages(socket int) error {
	buffer := make([]byte, 64<<10)
	at := 0 // where the next message starts in the queue
	back, err := peekFrom(socket, 0)
	if err != nil {
		return err
	}
	defer back()
	for {
		p, err := peek(socket, buffer)
		switch {
		case err == unix.EAGAIN:
			return nil
		case err != nil:
			return err
		case len(q.content)+p.n > queueMost || len(q.messages) > queueMost/64:
			closeAll(p.rights)
			return errQueueTooLong
		case p.n > len(buffer):
			closeAll(p.rights)
			buffer = make([]byte, p.n)
			if _, err := peekFrom(socket, at); err != nil {
				return err
			}
			continue
		}
		if p.n == 0 && p.rights == nil && atEnd(socket) && !hasMore(socket, at) {
			return nil
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

// hasMore tells whether the queue has more than the first bytes of it. Only SOCK_SEQPACKET counts the bytes of all its messages.
func hasMore(socket, first int) bool {
	all, err := unix.IoctlGetInt(socket, unix.TIOCINQ)
	return err == nil && all > first
}

// atEnd tells whether the peer can send no more. A read then returns 0 bytes at the end of the queue, as it does for an empty message. So
// an empty message at the end of the queue cannot be told apart from the end.
func atEnd(socket int) bool {
	poll := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLRDHUP}}
	_, err := unix.Poll(poll, 0)
	return err != nil || poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP) != 0
}

// peekFrom sets where MSG_PEEK starts in the queue (socket(7), SO_PEEK_OFF). The result is a function that sets the old value again.
func peekFrom(socket, at int) (back func(), err error) {
	before, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEEK_OFF)
	if err == nil && before != at {
		err = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEEK_OFF, at)
	}
	if err != nil {
		return nil, fmt.Errorf("SO_PEEK_OFF: %w", err)
	}
	return func() { _ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEEK_OFF, before) }, nil
}

// peeked is the next message, or the next bytes.
type peeked struct {
	n, flags int
	from     *UnixName
	rights   []int // copies of the descriptors of the message, open in the writer
}

// peek reads the next message or the next bytes, and leaves them in the queue. The kernel gives the writer copies of the descriptors.
func peek(socket int, buffer []byte) (p peeked, err error) {
	control := make([]byte, unix.CmsgSpace(rightsMost*4)+unix.CmsgSpace(unix.SizeofUcred)+256)
	p, err = peekInto(socket, buffer, control)
	if err == nil && p.flags&unix.MSG_CTRUNC != 0 {
		err = errNoRights
	}
	if err != nil {
		closeAll(p.rights)
	}
	return p, err
}

func peekInto(socket int, buffer, control []byte) (p peeked, err error) {
	var a unix.RawSockaddrUnix
	vector := unix.Iovec{Base: &buffer[0]}
	vector.SetLen(len(buffer))
	message := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&a)), Namelen: uint32(unsafe.Sizeof(a)), Iov: &vector, Iovlen: 1}
	if len(control) > 0 {
		message.Control = &control[0]
		message.SetControllen(len(control))
	}
	result, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(socket), uintptr(unsafe.Pointer(&message)),
		unix.MSG_PEEK|unix.MSG_DONTWAIT|unix.MSG_TRUNC|unix.MSG_CMSG_CLOEXEC)
	if errno != 0 {
		return p, errno
	}
	p = peeked{n: int(result), flags: int(message.Flags), from: nameFrom(&a, message.Namelen)}
	parts, err := unix.ParseSocketControlMessage(control[:message.Controllen])
	if err != nil {
		return p, err
	}
	for _, part := range parts {
		switch {
		case part.Header.Level != unix.SOL_SOCKET:
		case part.Header.Type == unix.SCM_RIGHTS:
			fds, err := unix.ParseUnixRights(&part)
			if err != nil {
				return p, err
			}
			p.rights = append(p.rights, fds...)
		case part.Header.Type == scmPidfd:
			for i := 0; i+4 <= len(part.Data); i += 4 {
				unix.Close(int(binary.NativeEndian.Uint32(part.Data[i:])))
			}
		}
	}
	return p, nil
}

const scmPidfd = 4 // SCM_PIDFD of linux/socket.h

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

func nameFrom(a *unix.RawSockaddrUnix, length uint32) *UnixName {
	n := int(length) - int(unsafe.Offsetof(a.Path))
	text := make([]byte, 0, unixNameMost)
	for i := range min(max(n, 0), len(a.Path)) {
		text = append(text, byte(a.Path[i]))
	}
	return nameOf(string(text))
}

// send puts a message, with descriptors, into the queue of the receiver. to is nil if the socket is connected to it.
func send(socket int, data []byte, rights []int, to addressed) error {
	var a unix.RawSockaddrUnix
	var message unix.Msghdr
	if to != nil {
		var length uintptr
		a, length = to.address()
		message.Name, message.Namelen = (*byte)(unsafe.Pointer(&a)), uint32(length)
	}
	if len(rights) > 0 {
		control := unix.UnixRights(rights...)
		message.Control = &control[0]
		message.SetControllen(len(control))
	}
	for {
		var vector unix.Iovec
		if len(data) > 0 {
			vector.Base = &data[0]
			vector.SetLen(len(data))
		}
		message.Iov, message.Iovlen = &vector, 1
		n, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(socket), uintptr(unsafe.Pointer(&message)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno != 0 {
			return fmt.Errorf("a message of %d bytes: %w", len(data), errno)
		}
		if data = data[n:]; len(data) == 0 { // sendmsg(2) may send only a part on a stream
			return nil
		}
		message.Control, message.Controllen = nil, 0
	}
}

// widen makes the buffer of a sending socket as large as possible. The result is a function that sets the old size again.
func widen(socket int) (back func()) { return widenOption(socket, "sndbuf") }

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
