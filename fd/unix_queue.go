package fd

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A UnixMessage is one datagram or packet in the queue of a socket.
type UnixMessage struct {
	Size int       `json:"size"`
	From *UnixName `json:"from,omitempty"` // nil: the sender has no name
}

// unixQueueMost bounds the bytes in the queue of one socket. The kernel bounds them by the buffer of the sender.
const unixQueueMost = 256 << 20

var (
	errDescriptorsInFlight = errors.New("descriptors or credentials are in its queue (SCM_RIGHTS, SCM_CREDENTIALS)")
	errQueueTooLong        = fmt.Errorf("more than %d bytes are in its queue", unixQueueMost)
)

// peekStream reads all bytes in the queue of a stream, and leaves them there.
func peekStream(socket int) ([]byte, error) {
	length, err := unix.IoctlGetInt(socket, unix.TIOCINQ)
	if err != nil || length == 0 {
		return nil, err
	}
	if length > unixQueueMost {
		return nil, errQueueTooLong
	}
	content := make([]byte, length)
	back, err := peekFrom(socket, 0)
	if err != nil {
		return nil, err
	}
	defer back()
	n, flags, _, err := peek(socket, content)
	switch {
	case err != nil:
		return nil, err
	case flags&unix.MSG_CTRUNC != 0:
		return nil, errDescriptorsInFlight
	case n != length:
		return nil, fmt.Errorf("%d bytes of %d", n, length)
	}
	return content, nil
}

// peekMessages reads all messages in the queue of a datagram or seqpacket socket, and leaves them there.
func peekMessages(socket int) (content []byte, messages []UnixMessage, err error) {
	buffer := make([]byte, 64<<10)
	at := 0 // where the next message starts in the queue
	back, err := peekFrom(socket, 0)
	if err != nil {
		return nil, nil, err
	}
	defer back()
	for {
		n, flags, from, err := peek(socket, buffer)
		switch {
		case err == unix.EAGAIN:
			return content, messages, nil
		case err != nil:
			return nil, nil, err
		case flags&unix.MSG_CTRUNC != 0:
			return nil, nil, errDescriptorsInFlight
		case len(content)+n > unixQueueMost || len(messages) > unixQueueMost/64:
			return nil, nil, errQueueTooLong
		case n > len(buffer):
			buffer = make([]byte, n)
			if _, err := peekFrom(socket, at); err != nil {
				return nil, nil, err
			}
			continue
		}
		if n == 0 && atEnd(socket) {
			return content, messages, nil
		}
		content = append(content, buffer[:n]...)
		messages = append(messages, UnixMessage{Size: n, From: from})
		at += n
	}
}

// atEnd tells whether the peer sends no more. A read then returns 0 bytes at the end of the queue, as for an empty message. An empty
// message before the end of the queue is not told apart from the end.
func atEnd(socket int) bool {
	poll := []unix.PollFd{{Fd: int32(socket), Events: unix.POLLRDHUP}}
	_, err := unix.Poll(poll, 0)
	return err != nil || poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP) != 0
}

// peekFrom sets where MSG_PEEK starts in the queue (socket(7), SO_PEEK_OFF). The result sets it back.
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

// peek reads the next message or the next bytes. It takes no descriptors out of the queue: there is no room for them.
func peek(socket int, buffer []byte) (n, flags int, from *UnixName, err error) {
	var a unix.RawSockaddrUnix
	vector := unix.Iovec{Base: &buffer[0]}
	vector.SetLen(len(buffer))
	message := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&a)), Namelen: uint32(unsafe.Sizeof(a)), Iov: &vector, Iovlen: 1}
	result, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(socket), uintptr(unsafe.Pointer(&message)),
		unix.MSG_PEEK|unix.MSG_DONTWAIT|unix.MSG_TRUNC)
	if errno != 0 {
		return 0, 0, nil, errno
	}
	return int(result), int(message.Flags), nameFrom(&a, message.Namelen), nil
}

func nameFrom(a *unix.RawSockaddrUnix, length uint32) *UnixName {
	n := int(length) - int(unsafe.Offsetof(a.Path))
	text := make([]byte, 0, unixNameMost)
	for i := range min(max(n, 0), len(a.Path)) {
		text = append(text, byte(a.Path[i]))
	}
	return nameOf(string(text))
}

// send puts a message into the queue of the receiver. to is nil if the socket is connected to it.
func send(socket int, data []byte, to addressed) error {
	var a unix.RawSockaddrUnix
	var length uintptr
	if to != nil {
		a, length = to.address()
	}
	for {
		var first *byte
		if len(data) > 0 {
			first = &data[0]
		}
		n, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(socket), uintptr(unsafe.Pointer(first)), uintptr(len(data)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, addressOrNil(&a, length), length)
		if errno != 0 {
			return fmt.Errorf("a message of %d bytes: %w", len(data), errno)
		}
		if data = data[n:]; len(data) == 0 { // a stream can take a part
			return nil
		}
	}
}

func addressOrNil(a *unix.RawSockaddrUnix, length uintptr) uintptr {
	if length == 0 {
		return 0
	}
	return uintptr(unsafe.Pointer(a))
}

// widen makes the buffer of a sending socket as large as it can be. The result sets it back.
func widen(socket int) (back func()) {
	option := socketOptions["sndbuf"]
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
