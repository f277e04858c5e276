package fd

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/firewall"
)

// makeOutside makes the connection anew. Its packets are dropped until Commit.
func (m *madeTCP) makeOutside(e *Env) (err error) {
	r, s := &m.record, m.record.Outside
	var content []byte
	if size := s.Received + s.Unsent; size > 0 {
		if content, err = e.Content(m.id, size); err != nil {
			return err
		}
	}
	e.undo.add(func() { _ = privileged.release([]firewall.Connection{r.ends()}) })
	if m.file, err = privileged.putBack(r, content, e); err != nil {
		return fmt.Errorf("%s: %w", r.Remote, err)
	}
	return m.resumeLater(e)
}

// putBack makes the connection in repair mode, in which the kernel sends nothing, and fills both queues. Preconditions: its packets are
// dropped.
func (r *TCPSocket) putBack(content []byte, e *Env) (*os.File, error) {
	f, err := newTCP(r.Family)
	if err != nil {
		return nil, err
	}
	socket := int(f.Fd())
	if err = repair(socket, repairOn); err == nil {
		err = r.connectAgain(socket, e)
	}
	if err == nil {
		err = r.fillOutside(socket, content)
	}
	if err == nil {
		err = endRepair(socket, 1) // another socket may have to get the same address; later the socket gets the value that it had
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// connectAgain connects a socket in repair mode.
func (r *TCPSocket) connectAgain(socket int, e *Env) error {
	s := r.Outside
	if err := r.bind(socket, e); err != nil {
		return err
	}
	for queue, start := range map[int]uint32{receiveQueue: s.Receive, sendQueue: s.Send} {
		if err := startQueue(socket, queue, start); err != nil {
			return err
		}
	}
	to, err := inetSockaddr(r.Family, *r.Remote)
	if err == nil {
		err = to.connect(socket)
	}
	if err != nil {
		return fmt.Errorf("connect to %s: %w", r.Remote, err)
	}
	return s.setOptions(socket)
}

func startQueue(socket, queue int, sequence uint32) error {
	err := unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_REPAIR_QUEUE, queue)
	if err == nil {
		err = unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_QUEUE_SEQ, int(int32(sequence)))
	}
	return os.NewSyscallError("TCP_QUEUE_SEQ", err)
}

// setOptions sets what the two ends agreed on when they connected.
func (s *TCPOutside) setOptions(socket int) error {
	type option struct{ code, value uint32 } // struct tcp_repair_opt
	options := []option{{repairMaxSegment, s.MaxSegment}}
	if s.SACK {
		options = append(options, option{repairSACK, 0})
	}
	if s.Scales {
		options = append(options, option{repairScale, uint32(s.SendScale) | uint32(s.ReceiveScale)<<16})
	}
	if s.Timestamps {
		options = append(options, option{repairTimestamps, 0})
	}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(socket), unix.SOL_TCP, unix.TCP_REPAIR_OPTIONS,
		uintptr(unsafe.Pointer(&options[0])), uintptr(len(options))*unsafe.Sizeof(options[0]), 0)
	if errno != 0 {
		return os.NewSyscallError("TCP_REPAIR_OPTIONS", errno)
	}
	return os.NewSyscallError("TCP_TIMESTAMP", unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_TIMESTAMP, int(int32(s.Timestamp))))
}

// fillOutside fills both queues again. The kernel treats what it gets in repair mode as sent, and sends it again if the peer does not
// acknowledge it. The rest follows without repair mode: the kernel sends it when the peer has room.
func (r *TCPSocket) fillOutside(socket int, content []byte) error {
	s := r.Outside
	if r.Device != "" { // injected segments come from the loopback interface
		if err := unix.BindToDevice(socket, ""); err != nil {
			return os.NewSyscallError("SO_BINDTODEVICE", err)
		}
	}
	if len(content) > 0 {
		makeRoom(socket, s.Received)
		defer widen(socket)()
		if err := writeQueue(socket, receiveQueue, content[:s.Received]); err != nil {
			return fmt.Errorf("receive queue: %w", err)
		}
		if err := writeQueue(socket, sendQueue, content[s.Received:len(content)-s.Later]); err != nil {
			return fmt.Errorf("send queue: %w", err)
		}
	}
	if err := r.openWindow(socket); err != nil {
		return err
	}
	if s.Later > 0 {
		err := repair(socket, repairOffQuietly)
		if err == nil {
			err = errors.Join(sendAll(socket, content[len(content)-s.Later:], s.Later), repair(socket, repairOn))
		}
		if err != nil {
			return fmt.Errorf("send queue: %w", err)
		}
	}
	return r.endOutside(socket)
}

// setOutside sets the options of a connection to the outside.
func (m *madeTCP) setOutside(e *Env) error {
	r, socket := &m.record, int(m.file.Fd())
	m.done = true
	if r.Device != "" {
		if err := unix.BindToDevice(socket, r.Device); err != nil {
			return os.NewSyscallError("SO_BINDTODEVICE", err)
		}
	}
	return r.setOptions(socket, e)
}

func writeQueue(socket, queue int, content []byte) error {
	if err := unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_REPAIR_QUEUE, queue); err != nil {
		return os.NewSyscallError("TCP_REPAIR_QUEUE", err)
	}
	const piece = 32 << 10 // the kernel makes one packet of each write to the receive queue
	return sendAll(socket, content, piece)
}

// sendAll sends pieces, and does not wait for room.
func sendAll(socket int, content []byte, piece int) error {
	for len(content) > 0 {
		n, err := unix.SendmsgN(socket, content[:min(len(content), piece)], nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err != nil {
			return fmt.Errorf("%d bytes: %w", len(content), err)
		}
		content = content[n:]
	}
	return nil
}

// resumeLater registers a function that Commit calls as the last step of the restart. It lets packets through.
func (m *madeTCP) resumeLater(e *Env) error {
	f, err := duplicate(m.file)
	if err != nil {
		return err
	}
	e.undo.add(func() { f.Close() })
	r := m.record
	again := 0
	if v := r.Options["reuse_addr"]; v != nil {
		again = int(v[0])
	}
	e.late = append(e.late, func() error {
		defer f.Close()
		return errors.Join(privileged.resume(&r),
			os.NewSyscallError("SO_REUSEADDR", unix.SetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_REUSEADDR, again)))
	})
	return nil
}
