package fd

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// tcpQueueMost is the largest queue that is saved.
const tcpQueueMost = 256 << 20

// arriveMost is how long bytes that were sent on this machine may take to arrive.
const arriveMost = 2 * time.Second

// peekTCP waits until everything that the peer has sent is in the receive queue. Then it reads the queue, and leaves the bytes there.
// late is how many bytes had not arrived before. inline tells whether the socket has SO_OOBINLINE.
func peekTCP(socket int, sender tcpSender, inline bool) (content []byte, late int, mark *tcpMark, err error) {
	if inline {
		return peekInLine(socket, sender)
	}
	back, err := inLine(socket)
	if err != nil {
		return nil, 0, nil, err
	}
	content, late, mark, err = peekInLine(socket, sender)
	back()
	if err == nil && mark != nil {
		mark.Read, err = isUrgentRead(socket)
	}
	return content, late, mark, err
}

// peekInLine is peekTCP for a socket that has SO_OOBINLINE.
func peekInLine(socket int, sender tcpSender) (content []byte, late int, mark *tcpMark, err error) {
	before, err := unix.IoctlGetInt(socket, unix.TIOCINQ)
	length := before
	if err == nil && sender.sent > 0 {
		if err = sender.arrive(socket); err == nil {
			length, err = unix.IoctlGetInt(socket, unix.TIOCINQ)
		}
	}
	if err != nil || length == 0 {
		return nil, 0, nil, err
	}
	if length > tcpQueueMost {
		return nil, 0, nil, fmt.Errorf("more than %d bytes are in its queue", tcpQueueMost)
	}
	content = make([]byte, length)
	mark, err = peekStream(socket, content)
	return content, length - before, mark, err
}

func peekBytes(socket int, content []byte) (int, error) {
	if at, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEEK_OFF); err == nil && at != -1 {
		back, err := peekFrom(socket, -1)
		if err != nil {
			return 0, err
		}
		defer back()
	}
	n, _, err := unix.Recvfrom(socket, content, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n, err
}

// arrive waits until everything that the peer of a socket has sent has arrived. On one machine, bytes wait at the sender only if the
// receiver has no room for them, or if the sender waits for more bytes (TCP_CORK, Nagle's algorithm). So arrive makes the receiver's
// buffer larger for the moment, and has the sender send at once. The program notices only that its bytes have arrived.
func (s tcpSender) arrive(socket int) error {
	left := func() (int, error) { return s.leftAtClosed(socket) }
	roomy, back := false, func() {}
	defer func() { back() }()
	if s.open != nil {
		sender, err := s.open.source()()
		if err != nil {
			return err
		}
		defer sender.Close()
		if !sender.asks() {
			return errors.New("the kernel does not let crak take a descriptor of its peer (pidfd_getfd)")
		}
		left = func() (int, error) { return unix.IoctlGetInt(sender.fd, unix.TIOCOUTQ) }
		defer push(sender.fd)()
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) { // no event tells that the send queue is empty
		acknowledge(socket)
		bytes, err := left()
		switch {
		case err != nil || bytes == 0:
			return err
		case time.Since(begin) > arriveMost:
			return passing(fmt.Sprintf("%d bytes that its peer has sent have not arrived yet", bytes))
		case !roomy:
			have, _ := unix.IoctlGetInt(socket, unix.TIOCINQ)
			back, roomy = makeRoom(socket, have+bytes), true
		}
		_, _ = peekBytes(socket, make([]byte, 1)) // tells the peer that there is room now (tcp_cleanup_rbuf)
	}
}

// leftAtClosed is how many bytes a closed peer has not sent yet. The peer sends its FIN after the last byte.
func (s tcpSender) leftAtClosed(socket int) (int, error) {
	info, err := unix.GetsockoptTCPInfo(socket, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, os.NewSyscallError("TCP_INFO", err)
	}
	switch info.State {
	case unix.BPF_TCP_ESTABLISHED, unix.BPF_TCP_FIN_WAIT1, unix.BPF_TCP_FIN_WAIT2:
		return s.sent, nil
	}
	return 0, nil
}

// acknowledge has the kernel send an acknowledgment that it delays. The socket keeps its mode (tcp(7), TCP_QUICKACK).
func acknowledge(socket int) {
	if quick, err := unix.GetsockoptInt(socket, unix.SOL_TCP, unix.TCP_QUICKACK); err == nil {
		_ = unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_QUICKACK, 2-quick)
	}
}

// makeRoom makes the receive buffer large enough for this number of bytes. SO_RCVLOWAT can do that up to the limit of tcp_rmem. On most
// machines this is more than an ordinary user may set with SO_RCVBUF. The result is a function that sets the old size again.
func makeRoom(socket, bytes int) (back func()) {
	option := func(number int) int {
		value, _ := unix.GetsockoptInt(socket, unix.SOL_SOCKET, number)
		return value
	}
	set := func(number, value int) { _ = unix.SetsockoptInt(socket, unix.SOL_SOCKET, number, value) }
	low, locks, size := option(unix.SO_RCVLOWAT), option(soBufLock), option(unix.SO_RCVBUF)
	grow := func(bytes int) {
		set(soBufLock, locks&^lockReceive)
		set(unix.SO_RCVLOWAT, bytes)
		set(unix.SO_RCVLOWAT, low)
	}
	grow(bytes + room)
	if option(unix.SO_RCVBUF) < bytes+room {
		_ = socketOptions["rcvbuf"].set(socket, []int32{int32(2 * (bytes + room))})
		_ = unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_WINDOW_CLAMP, bytes+room)
	}
	return func() {
		set(unix.SO_RCVBUF, size/2)
		if option(unix.SO_RCVBUF) < size {
			grow(size)
		}
		set(soBufLock, locks)
	}
}

// room is what makeRoom adds for the kernel's own use.
const room = 64 << 10

// push has the kernel send a segment that is not full. The result is a function that sets the old TCP_NODELAY again.
func push(socket int) (back func()) {
	before, _ := unix.GetsockoptInt(socket, unix.SOL_TCP, unix.TCP_NODELAY)
	_ = unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_NODELAY, 1)
	return func() { _ = unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_NODELAY, before) }
}

// fill puts the content into the queue. If the peer is filled already, fill also sets the options of both ends, and calls shutdown(2)
// for the directions that had ended.
func (m *madeTCP) fill(o image.Object, e *Env) error {
	r := &m.record
	switch {
	case r.Reconnect:
		if err := m.endReconnect(e); err != nil {
			return err
		}
		o.Size = 0 // the bytes of the old connection are lost
	case r.Outside != nil && !r.Over:
		return m.setOutside(e)
	}
	peer, _ := e.made[r.Peer].(*madeTCP)
	from := m.other
	if peer != nil {
		from = peer.file
	}
	if o.Size > 0 {
		content, err := e.Content(o.ID, int(o.Size))
		if r.Outside != nil && err == nil {
			content = content[:r.Outside.Received]
		}
		if err == nil && from == nil {
			err = errors.New("it has content, and no peer")
		}
		if err == nil {
			err = fillTCP(int(from.Fd()), int(m.file.Fd()), content, r.Late, r.Mark)
		}
		if err != nil {
			return err
		}
	}
	m.done = true
	if peer != nil && !peer.done {
		return nil
	}
	ends := []*madeTCP{m}
	if peer != nil {
		ends = append(ends, peer)
	}
	for _, end := range ends {
		if err := end.record.setOptions(int(end.file.Fd()), e); err != nil {
			return err
		}
	}
	for i, end := range ends {
		how := end.record.Shutdown
		if len(ends) == 2 && ends[1-i].record.Shutdown&2 != 0 {
			how &^= 1 // the peer's FIN does this
		}
		if how == 0 || r.Over {
			continue
		}
		if err := unix.Shutdown(int(end.file.Fd()), int(how)-1); err != nil {
			return os.NewSyscallError("shutdown", err)
		}
	}
	return m.endPeer()
}

// endPeer closes the peer, if it was closed at the checkpoint.
func (m *madeTCP) endPeer() error {
	if m.other == nil {
		return nil
	}
	socket := int(m.other.Fd())
	if m.record.Over {
		if err := abort(socket); err != nil {
			return err
		}
	}
	m.other.Close()
	m.other = nil
	if m.record.Over && m.record.Device != "" {
		if err := unix.BindToDevice(int(m.file.Fd()), m.record.Device); err != nil {
			return fmt.Errorf("network interface %.20q: %w", m.record.Device, err)
		}
	}
	if m.record.Over && m.record.Error == 0 {
		_, err := unix.GetsockoptInt(int(m.file.Fd()), unix.SOL_SOCKET, unix.SO_ERROR)
		return err
	}
	return nil
}

// abort has a later close of the socket reset the connection, so that it does not stay in TIME_WAIT.
func abort(socket int) error {
	return os.NewSyscallError("SO_LINGER", unix.SetsockoptLinger(socket, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
}

// fillTCP sends bytes from one end of a connection to the other. It makes room only for the bytes that had arrived at the checkpoint, so
// that the late bytes wait at the sender again. If the sender has no room for these, all bytes arrive. Preconditions: the options of
// both ends are set later.
func fillTCP(from, to int, content []byte, late int, mark *tcpMark) error {
	defer makeRoom(to, len(content)-late)()
	defer widen(from)()
	defer push(from)()
	all, last, roomy := len(content), time.Now(), late == 0
	for len(content) > 0 {
		part, flags := mark.next(content, all-len(content))
		n, err := unix.SendmsgN(from, part, nil, nil, flags|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch {
		case err == nil:
			content = content[n:]
			last = time.Now()
			continue
		case err != unix.EAGAIN && err != unix.EINTR:
			return os.NewSyscallError("send", err)
		case time.Since(last) > arriveMost:
			return fmt.Errorf("no room for %d bytes of its queue", len(content))
		case !roomy && time.Since(last) > arriveMost/100:
			defer makeRoom(to, all)()
			roomy = true
		}
		_, _ = peekBytes(to, make([]byte, 1))
		poll := []unix.PollFd{{Fd: int32(from), Events: unix.POLLOUT}}
		_, _ = unix.Poll(poll, 10)
	}
	return mark.readAgain(to)
}

// EndConnections has the kernel reset the connections within a group when the group is killed. So none of them stays in TIME_WAIT, and a
// restart can use their addresses. The peers of connections to the outside notice nothing. Preconditions: the group is frozen, and the
// writer kills it next.
func (t *Table) EndConnections() {
	t.leaveOutside()
	for _, take := range t.connections {
		if h, err := take(); err == nil {
			if h.asks() {
				_ = abort(h.fd)
			}
			h.Close()
		}
	}
}
