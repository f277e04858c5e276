package fd

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/firewall"
)

// makeOutside makes the connection anew in repair mode, in which the kernel sends nothing. Its packets are dropped until Commit.
func (m *madeTCP) makeOutside(e *Env) (err error) {
	r, s := &m.record, m.record.Outside
	if m.file, err = newTCP(r.Family); err != nil {
		return err
	}
	socket := int(m.file.Fd())
	if err := repair(socket, repairOn); err != nil {
		return fmt.Errorf("%s: %w: %w", r.Remote, err, errPrivilege)
	}
	ends := []firewall.Connection{r.ends()}
	if err := firewall.Hold(ends, 0); err != nil {
		return err
	}
	e.undo.add(func() { _ = firewall.Release(ends) })
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
	if err := s.setOptions(socket); err != nil {
		return err
	}
	return m.goLater(e, ends)
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
func (m *madeTCP) fillOutside(o image.Object, e *Env) error {
	s, socket := m.record.Outside, int(m.file.Fd())
	m.done = true
	if m.record.Device != "" { // injected segments come from the loopback interface
		if err := unix.BindToDevice(socket, ""); err != nil {
			return os.NewSyscallError("SO_BINDTODEVICE", err)
		}
	}
	var content []byte
	if o.Size > 0 {
		var err error
		if content, err = e.Content(o.ID, int(o.Size)); err != nil {
			return err
		}
		makeRoom(socket, s.Received)
		defer widen(socket)()
		if err := writeQueue(socket, receiveQueue, content[:s.Received]); err != nil {
			return fmt.Errorf("receive queue: %w", err)
		}
		if err := writeQueue(socket, sendQueue, content[s.Received:len(content)-s.Later]); err != nil {
			return fmt.Errorf("send queue: %w", err)
		}
	}
	if err := m.openWindow(); err != nil {
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
	if err := m.endOutside(e); err != nil {
		return err
	}
	if m.record.Device != "" {
		if err := unix.BindToDevice(socket, m.record.Device); err != nil {
			return os.NewSyscallError("SO_BINDTODEVICE", err)
		}
	}
	return m.record.setOptions(socket, e)
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

// goLater registers a function that Commit calls as the last step of the restart. It lets packets through, and ends the repair mode.
// The kernel then sends a window probe.
func (m *madeTCP) goLater(e *Env, ends []firewall.Connection) error {
	f, err := duplicate(m.file)
	if err != nil {
		return err
	}
	again := 0
	if v := m.record.Options["reuse_addr"]; v != nil {
		again = int(v[0])
	}
	e.undo.add(func() { f.Close() })
	e.late = append(e.late, func() error {
		defer f.Close()
		socket := int(f.Fd())
		return errors.Join(firewall.Release(ends), repair(socket, repairOff),
			os.NewSyscallError("SO_REUSEADDR", unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR, again))) // TCP_REPAIR has changed it
	})
	return nil
}
