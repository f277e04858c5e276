package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// beginPeeking has MSG_PEEK start at the beginning of the queue, and show the credentials of each message. The result is also a function
// that sets the old options again.
func beginPeeking(socket int, now *unixReading) (from *peekOffset, back func(), err error) {
	before := now.option("peek_off")
	if before == nil {
		return nil, nil, errors.New("the kernel has no SO_PEEK_OFF")
	}
	from = &peekOffset{socket: socket, before: int(before[0]), now: int(before[0])}
	if from.before >= 0 {
		if err := from.set(0); err != nil {
			return nil, nil, err
		}
	}
	credentials, err := changeFor(socket, "pass_cred", now.option("pass_cred"), 1)
	if err != nil {
		from.back()
		return nil, nil, fmt.Errorf("SO_PASSCRED: %w", err)
	}
	return from, func() {
		credentials()
		from.back()
	}, nil
}

// A peekOffset is where MSG_PEEK starts in the queue of a socket (socket(7), SO_PEEK_OFF): at the beginning if it is negative. Otherwise
// each MSG_PEEK moves it. Most queues of streams are read by one call, which needs no offset.
type peekOffset struct {
	socket, before, now int
	isSet               bool
}

// at has the next MSG_PEEK start at an offset.
func (p *peekOffset) at(offset int) error {
	if p.now == offset || p.now < 0 && offset == 0 {
		return nil
	}
	return p.set(offset)
}

func (p *peekOffset) set(offset int) error {
	p.isSet = true
	if err := unix.SetsockoptInt(p.socket, unix.SOL_SOCKET, unix.SO_PEEK_OFF, offset); err != nil {
		return fmt.Errorf("SO_PEEK_OFF: %w", err)
	}
	p.now = offset
	return nil
}

// moved notes that MSG_PEEK has shown n bytes.
func (p *peekOffset) moved(n int) {
	if p.now >= 0 {
		p.now += n
	}
}

// back sets the old value again.
func (p *peekOffset) back() {
	if p.isSet {
		_ = unix.SetsockoptInt(p.socket, unix.SOL_SOCKET, unix.SO_PEEK_OFF, p.before)
	}
}

// setFor sets an option. The result is a function that sets the old value again.
func setFor(socket int, name string, value int32) (back func(), err error) {
	return changeFor(socket, name, socketOptions[name].get(socket), value)
}

// changeFor is setFor for an option whose value is known. before is nil if the kernel does not have the option.
func changeFor(socket int, name string, before []int32, value int32) (back func(), err error) {
	option := socketOptions[name]
	if before == nil || before[0] == value {
		return func() {}, nil
	}
	if err := option.set(socket, []int32{value}); err != nil {
		return nil, err
	}
	return func() { _ = option.set(socket, before) }, nil
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
	n, flags  int
	from      *UnixName
	rights    []int       // copies of the descriptors of the message, open in the writer
	isMessage bool        // every message has SCM_CREDENTIALS while SO_PASSCRED is set
	user      *unix.Ucred // what they are; nil: the kernel has none of this message
	sender    *Credentials
}

// controls are buffers for control messages. While a program is frozen, each new page of memory costs a page fault.
var controls = sync.Pool{New: func() any {
	control := make([]byte, unix.CmsgSpace(rightsMost*4)+unix.CmsgSpace(unix.SizeofUcred)+256)
	return &control
}}

// peek reads the next message or the next bytes, and leaves them in the queue. The kernel gives the writer copies of the descriptors.
func (q *queue) peek(socket int, buffer []byte) (p peeked, err error) {
	control := controls.Get().(*[]byte)
	p, err = peekInto(socket, buffer, *control)
	controls.Put(control)
	if err == nil && p.flags&unix.MSG_CTRUNC != 0 {
		err = errNoRights
	}
	if err == nil && p.user != nil {
		p.sender, err = q.sender(*p.user, p.n)
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
		case part.Header.Type == unix.SCM_CREDENTIALS:
			user, err := unix.ParseUnixCredentials(&part)
			if err != nil {
				return p, err
			}
			p.isMessage = true
			if user.Pid != 0 || user.Uid != overflowID {
				p.user = user
			}
		case part.Header.Type == scmPidfd:
			for i := 0; i+4 <= len(part.Data); i += 4 {
				unix.Close(int(binary.NativeEndian.Uint32(part.Data[i:])))
			}
		}
	}
	return p, nil
}

const (
	scmPidfd   = 4     // SCM_PIDFD of linux/socket.h
	overflowID = 65534 // UID that the kernel shows where it has none
)

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
