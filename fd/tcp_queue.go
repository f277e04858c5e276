package fd

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
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
		return nil, 0, nil, errTooMuch
	}
	content = make([]byte, length)
	mark, err = peekStream(socket, content)
	return content, length - before, mark, err
}

var errMarked = errors.New("urgent data may be among the bytes")

// peekPlain is peekTCP with fewer system calls, for a queue in which all bytes have arrived, and in which no urgent data waits that the
// program has not read (POLLPRI). received is how many bytes sock_diag(7) has counted. SIOCINQ counts fewer if the program has read urgent
// data that is still in the stream: then the error is errMarked.
func peekPlain(socket, received int) (content []byte, err error) {
	length, err := unix.IoctlGetInt(socket, unix.TIOCINQ)
	switch {
	case err != nil:
		return nil, os.NewSyscallError("SIOCINQ", err)
	case length < received:
		return nil, errMarked
	case length == 0:
		return nil, nil
	case length > tcpQueueMost:
		return nil, errTooMuch
	}
	content = make([]byte, length)
	n, _, err := unix.Recvfrom(socket, content, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err != nil || n != length {
		return nil, fmt.Errorf("recv: %d bytes of %d: %w", n, length, err)
	}
	return content, nil
}

var errTooMuch = fmt.Errorf("more than %d bytes are in its queue", tcpQueueMost)

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
			have, _ := unix.IoctlGetInt(socket, unix.TIOCINQ)
			if size, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil && size >= have+bytes+room {
				// A small buffer (SO_RCVBUF) was full for long. The kernel's next window probe may come in two minutes only.
				return passing(fmt.Sprintf("%d bytes that its peer has sent have not arrived yet", bytes))
			}
			return notArrived{bytes, have + bytes + room}
		case !roomy:
			have, _ := unix.IoctlGetInt(socket, unix.TIOCINQ)
			back, roomy = makeRoom(socket, have+bytes), true
		}
		_, _ = peekBytes(socket, make([]byte, 1)) // tells the peer that there is room now (tcp_cleanup_rbuf)
	}
}

// notArrived is the reason of an obstacle.
type notArrived struct{ bytes, room int }

func (n notArrived) Error() string {
	return fmt.Sprintf("%d bytes that its peer has sent have not arrived: its receive buffer is full, and crak may not make it larger", n.bytes)
}

// advice is for an ordinary user. The buffer is twice as large as SO_RCVBUF says (socket(7)).
func (n notArrived) advice() string {
	return fmt.Sprintf("try again when the program has read from it, or let root set net.core.rmem_max to %d (sysctl)", n.room)
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
