package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
)

// The kernel records the sender of a message if the sender asks for it (SCM_CREDENTIALS), or if one of the two sockets has SO_PASSCRED.
// The writer sees the sender of every message by setting SO_PASSCRED while it reads the queue. A restart sends the message again from a
// process with the sender's PID. This process ends before the members are made; see Env.as.

func (m UnixMessage) isSigned() bool { return m.Credentials != nil }

var errSender = errors.New("credentials are in its queue (SCM_CREDENTIALS), and CRAK cannot find out whose")

// senderOf returns the credentials of a message of n bytes, which the writer has just read, as the program would see them. The kernel has shown
// them to the writer as they are in the writer's namespaces. If the program is in other ones, its initiator looks at the message, too.
func (c *capture) senderOf(o *open, user unix.Ucred, n int) (*Credentials, error) {
	m := o.member
	who, known := c.senders[user]
	sameUsers := c.sharesNamespace(o, "user")
	if !known && sameUsers && c.sharesNamespace(o, "pid") {
		who, known = user, true
	}
	if !known {
		here, err := unix.GetsockoptInt(o.handle.fd, unix.SOL_SOCKET, unix.SO_PEEK_OFF)
		if err != nil || n == 0 {
			return nil, errSender
		}
		if here >= 0 { // otherwise MSG_PEEK starts at the beginning, where the message is
			if _, err := peekFrom(o.handle.fd, here-n); err != nil {
				return nil, err
			}
		}
		if who, err = askSender(m, o.fd); err != nil {
			return nil, err
		}
		if sameUsers {
			who.Uid, who.Gid = user.Uid, user.Gid
		}
		if here >= 0 {
			if _, err := peekFrom(o.handle.fd, here); err != nil {
				return nil, err
			}
		}
	}
	if who.Pid <= 0 {
		return nil, errSender
	}
	if c.senders == nil {
		c.senders = make(map[unix.Ucred]unix.Ucred)
	}
	c.senders[user] = who
	return &Credentials{image.Pid(who.Pid), who.Uid, who.Gid}, nil
}

// askSender has the initiator look at the next message of a socket. There is room for the credentials only, so the initiator gets no copies of
// descriptors.
func askSender(m *Member, socket int) (who unix.Ucred, err error) {
	answer, err := m.Calls([]abi.Call{{Number: abi.CallAddress, Relative: abi.Data(0)}}, nil)
	if err != nil || len(answer) != 1 {
		return who, errors.Join(err, errSender)
	}
	const vector, control, text, size = 56, 72, 104, 112 // offsets in the data: of a struct iovec, the control messages, one byte
	data := make([]byte, size)
	words := []uint64{2: uint64(answer[0]) + vector, 3: 1, 4: uint64(answer[0]) + control, 5: uint64(unix.CmsgSpace(unix.SizeofUcred)),
		7: uint64(answer[0]) + text, 8: 1}
	for i, word := range words {
		binary.NativeEndian.PutUint64(data[8*i:], word)
	}
	call := abi.Call{Number: unix.SYS_RECVMSG, Relative: abi.Data(1), Args: [6]uint64{uint64(socket), 0, unix.MSG_PEEK | unix.MSG_DONTWAIT}}
	results, err := m.Calls([]abi.Call{call}, data)
	if err != nil {
		return who, err
	}
	parts, err := unix.ParseSocketControlMessage(data[control:text])
	if err != nil || len(results) != 1 || results[0] < 0 || len(parts) == 0 {
		return who, errors.Join(err, errSender)
	}
	found, err := unix.ParseUnixCredentials(&parts[0])
	if err != nil {
		return who, errors.Join(err, errSender)
	}
	return *found, nil
}

// sharesNamespace tells whether the process that has a description is in the writer's namespace of a kind.
func (c *capture) sharesNamespace(o *open, kind string) bool {
	of := o.proc() + "/ns/" + kind
	same, known := c.namespaces[of]
	if !known {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		theirs, err2 := os.Readlink(of)
		same = err == nil && err2 == nil && own == theirs
		if c.namespaces == nil {
			c.namespaces = make(map[string]bool)
		}
		c.namespaces[of] = same
	}
	return same
}

// checkSenders finds messages of other users. Only root can send them again.
func checkSenders(r *UnixSocket) obstacle.List {
	for _, m := range r.Messages {
		c := m.Credentials
		if c == nil || os.Geteuid() == 0 || int(c.UID) == os.Geteuid() && int(c.GID) == os.Getegid() {
			continue
		}
		return obstacle.List{{What: "Unix socket", Why: fmt.Sprintf("a message waits in its queue that a process of UID %d and GID %d has sent (SCM_CREDENTIALS)", c.UID, c.GID),
			Do: "restart as root"}}
	}
	return nil
}

// outgoing is a message that is to be sent.
type outgoing struct {
	data   []byte
	rights []int        // numbers of descriptors in crak
	sender *Credentials // nil: the kernel shall record none
	urgent bool         // MSG_OOB
	to     addressed    // nil: the socket is connected to the receiver
}

// message is what sendmsg(2) reads. It is not on a stack, because the kernel gets its address as a number.
type message struct {
	unix.Msghdr
	address unix.RawSockaddrUnix
	vector  unix.Iovec
	control []byte
}

func (o *outgoing) message() *message {
	m := new(message)
	if o.to != nil {
		var length uintptr
		m.address, length = o.to.address()
		m.Name, m.Namelen = (*byte)(unsafe.Pointer(&m.address)), uint32(length)
	}
	if len(o.rights) > 0 {
		m.control = unix.UnixRights(o.rights...)
	}
	if c := o.sender; c != nil {
		m.control = append(m.control, unix.UnixCredentials(&unix.Ucred{Pid: int32(c.Pid), Uid: c.UID, Gid: c.GID})...)
	}
	if len(m.control) > 0 {
		m.Control = &m.control[0]
		m.SetControllen(len(m.control))
	}
	if len(o.data) > 0 {
		m.vector.Base = &o.data[0]
		m.vector.SetLen(len(o.data))
	}
	m.Iov, m.Iovlen = &m.vector, 1
	return m
}

// send puts messages into the queue of the receiver. One process sends all messages in a row that have one sender: a read of a stream
// returns bytes of one process only. Preconditions: prepareToSend was called for the socket.
func (e *Env) send(socket int, all ...outgoing) error {
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].sender.same(all[0].sender) {
			n++
		}
		if err := e.sendAs(all[0].sender, socket, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// sendAs sends messages of one sender. If crak cannot make a process with the sender's PID, it sends the messages itself: the kernel accepts
// the PID of another process from root.
func (e *Env) sendAs(who *Credentials, socket int, all []outgoing) error {
	e.messages = e.messages[:0]
	calls := make([]rawCall, 0, len(all))
	for i := range all {
		m, flags := all[i].message(), uintptr(unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if all[i].urgent {
			flags |= unix.MSG_OOB
		}
		e.messages = append(e.messages, m)
		calls = append(calls, rawCall{unix.SYS_SENDMSG,
			[4]uintptr{uintptr(socket), uintptr(unsafe.Pointer(m)), flags}, uintptr(len(all[i].data))})
	}
	if who != nil {
		if errno, err := e.inProcess(who.Pid, who, false, calls); err == nil {
			return errnoOrNil(errno)
		}
	}
	errno := makeCalls(&calls[0], len(calls))
	switch {
	case errno == 0:
	case who != nil:
		return fmt.Errorf("messages of process %d, UID %d, GID %d (SCM_CREDENTIALS), for which crak could not send them: %w", who.Pid, who.UID, who.GID, errno)
	default:
		return fmt.Errorf("messages in its queue: %w", errno)
	}
	return nil
}
