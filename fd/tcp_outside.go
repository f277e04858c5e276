package fd

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/firewall"
)

// TCPOutside is the state of a connection to a process outside the group. The content of the socket is its receive queue, followed by
// its send queue: the bytes that the peer has not acknowledged.
type TCPOutside struct {
	Receive  uint32 `json:"receive"`            // sequence number of the first byte in the receive queue
	Received int    `json:"received,omitempty"` // bytes in the receive queue
	Send     uint32 `json:"send"`               // sequence number of the first byte in the send queue
	Unsent   int    `json:"unsent,omitempty"`   // bytes in the send queue
	Later    int    `json:"later,omitempty"`    // the last of these, which have not been sent for the first time

	State    uint8 `json:"state,omitempty"`     // if a direction has ended: TCP_FIN_WAIT1, …; otherwise 0
	FinLater bool  `json:"fin_later,omitempty"` // the FIN of this end has not been sent for the first time

	Window       [5]uint32 `json:"window"`                  // struct tcp_repair_window
	MaxSegment   uint32    `json:"max_segment"`             // of the peer
	SendScale    uint8     `json:"send_scale,omitempty"`    // scale of the window that the peer advertises
	ReceiveScale uint8     `json:"receive_scale,omitempty"` // scale of the window that this end advertises
	Scales       bool      `json:"scales,omitempty"`        // the two ends have agreed to scale windows
	SACK         bool      `json:"sack,omitempty"`
	Timestamps   bool      `json:"timestamps,omitempty"`
	Timestamp    uint32    `json:"timestamp,omitempty"` // TCP_TIMESTAMP
}

// Numbers of linux/tcp.h (TCP_REPAIR). The queues are values of TCP_REPAIR_QUEUE, the options those of TCP_REPAIR_OPTIONS.
const (
	repairOn, repairOff, repairOffQuietly = 1, 0, -1 // without a window probe: Linux 4.19

	noQueue, receiveQueue, sendQueue = 0, 1, 2

	siocOutqNsd = 0x894b // SIOCOUTQNSD of linux/sockios.h

	repairMaxSegment, repairScale, repairSACK, repairTimestamps = 2, 3, 4, 8
)

// pauseMost is how long the packets of a connection are dropped if the writer is killed. Otherwise the writer lets them through as soon
// as the program runs on.
const pauseMost = 10 * time.Minute

// canRepair tells whether the kernel lets this process put back a connection. The process needs CAP_NET_ADMIN (TCP_REPAIR) and
// CAP_NET_RAW (inject) in the user namespace to which the network namespace belongs.
func canRepair() bool {
	f, err := newTCP(unix.AF_INET)
	if err != nil {
		return false
	}
	defer f.Close()
	raw, err := rawSocket(unix.AF_INET)
	if err != nil {
		return false
	}
	unix.Close(raw)
	return repair(int(f.Fd()), repairOn) == nil
}

func repair(socket, mode int) error {
	return os.NewSyscallError("TCP_REPAIR", unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_REPAIR, mode))
}

func (r *TCPSocket) ends() firewall.Connection {
	return firewall.Connection{Own: *r.Own, Peer: *r.Remote}
}

// lookOutside reads the state of a connection to the outside. From then on its packets are dropped until ReleaseConnections. Otherwise
// the kernel would acknowledge data that is not in the image.
func (t *Table) lookOutside(r *TCPSocket, o *open) ([]byte, error) {
	held := heldConnection{r.ends(), o.source()}
	if err := firewall.Hold([]firewall.Connection{held.ends}, pauseMost); err != nil {
		return nil, fmt.Errorf("crak cannot drop its packets during the checkpoint: %w", err)
	}
	t.held = append(t.held, held)
	socket := o.handle.fd
	if err := checkUrgent(socket); err != nil {
		return nil, err
	}
	if err := repair(socket, repairOn); err != nil {
		return nil, err
	}
	r.Outside = new(TCPOutside)
	content, err := r.Outside.read(socket)
	return content, errors.Join(err, repair(socket, repairOffQuietly))
}

// read reads the state of a socket in repair mode.
func (s *TCPOutside) read(socket int) (content []byte, err error) {
	received, err := unix.IoctlGetInt(socket, unix.TIOCINQ)
	if err != nil {
		return nil, os.NewSyscallError("SIOCINQ", err)
	}
	unsent, err := unix.IoctlGetInt(socket, unix.TIOCOUTQ)
	if err != nil {
		return nil, os.NewSyscallError("SIOCOUTQ", err)
	}
	if received+unsent > tcpQueueMost {
		return nil, fmt.Errorf("more than %d bytes are in its queues", tcpQueueMost)
	}
	var info [8]byte // the beginning of struct tcp_info: byte 0 has the state, byte 5 the options, byte 6 the scales
	if _, err := getBytes(socket, unix.SOL_TCP, unix.TCP_INFO, info[:]); err != nil {
		return nil, os.NewSyscallError("TCP_INFO", err)
	}
	if info[0] != unix.BPF_TCP_ESTABLISHED {
		if s.State = info[0]; !halfStates[s.State] {
			return nil, passing(fmt.Sprintf("it is in state %d (TCP_INFO)", s.State))
		}
	}
	later, err := unix.IoctlGetInt(socket, siocOutqNsd)
	if err != nil {
		return nil, os.NewSyscallError("SIOCOUTQNSD", err)
	}
	s.FinLater = s.finished() != 0 && later > 0
	if s.FinLater {
		later--
	}
	if s.finished() != 0 && unsent > 0 {
		unsent-- // the FIN
	}
	s.Received, s.Unsent, s.Later = received, unsent, later
	content = make([]byte, received+unsent)
	if s.Receive, err = readQueue(socket, receiveQueue, content[:received]); err != nil {
		return nil, fmt.Errorf("receive queue: %w", err)
	}
	if s.Send, err = readQueue(socket, sendQueue, content[received:]); err != nil {
		return nil, fmt.Errorf("send queue: %w", err)
	}
	s.Receive -= s.ended()
	s.Send -= s.finished()
	if s.Window, err = windowOf(socket); err != nil {
		return nil, err
	}
	const timestamps, sack, scales = 1, 2, 4 // TCPI_OPT_*
	s.Timestamps, s.SACK, s.Scales = info[5]&timestamps != 0, info[5]&sack != 0, info[5]&scales != 0
	s.SendScale, s.ReceiveScale = info[6]&15, info[6]>>4
	segment, err := unix.GetsockoptInt(socket, unix.SOL_TCP, unix.TCP_MAXSEG)
	if err != nil {
		return nil, os.NewSyscallError("TCP_MAXSEG", err)
	}
	s.MaxSegment = uint32(segment)
	stamp, err := unix.GetsockoptInt(socket, unix.SOL_TCP, unix.TCP_TIMESTAMP)
	s.Timestamp = uint32(stamp)
	return content, os.NewSyscallError("TCP_TIMESTAMP", err)
}

// readQueue reads a queue, and returns the sequence number of its first byte.
func readQueue(socket, queue int, content []byte) (uint32, error) {
	if err := unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_REPAIR_QUEUE, queue); err != nil {
		return 0, os.NewSyscallError("TCP_REPAIR_QUEUE", err)
	}
	end, err := unix.GetsockoptInt(socket, unix.SOL_TCP, unix.TCP_QUEUE_SEQ)
	if err != nil {
		return 0, os.NewSyscallError("TCP_QUEUE_SEQ", err)
	}
	if len(content) > 0 {
		n, err := peekBytes(socket, content)
		if err != nil || n != len(content) {
			return 0, fmt.Errorf("%d bytes of %d: %w", n, len(content), err)
		}
	}
	return uint32(end) - uint32(len(content)), nil
}

func (s *TCPOutside) check(size uint64) error {
	const scaleMost = 14 // TCP_MAX_WSCALE
	if s == nil {
		return nil
	}
	if s.Received < 0 || s.Unsent < 0 || uint64(s.Received)+uint64(s.Unsent) != size || s.SendScale > scaleMost || s.ReceiveScale > scaleMost || s.MaxSegment > 0xffff || s.Later < 0 || s.Later > s.Unsent {
		return fmt.Errorf("a connection with %d and %d bytes, %d in all", s.Received, s.Unsent, size)
	}
	if s.State != 0 && !halfStates[s.State] {
		return fmt.Errorf("a connection in state %d", s.State)
	}
	return nil
}

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

// A heldConnection is a connection of a frozen group to the outside. Its packets are dropped.
type heldConnection struct {
	ends firewall.Connection
	take Take
}

// ReleaseConnections lets the packets of connections to the outside through again. Call it when the group goes on.
func (t *Table) ReleaseConnections() {
	var all []firewall.Connection
	for _, held := range t.held {
		all = append(all, held.ends)
	}
	t.held = nil
	if len(all) > 0 {
		_ = firewall.Release(all)
	}
}

// leaveOutside puts connections to the outside into repair mode, so that the kernel sends no packet when it closes them at the end of
// the group. From then on their packets are dropped until a restart has succeeded, or until crak forget.
func (t *Table) leaveOutside() {
	for _, held := range t.held {
		h, err := held.take()
		if err != nil {
			continue
		}
		if h.asks() && firewall.Hold([]firewall.Connection{held.ends}, 0) == nil {
			_ = repair(h.fd, repairOn)
		}
		h.Close()
	}
	t.held = nil
}

// Hold drops the packets of the connections of an image, until a restart has made them or until Forget.
func Hold(g *image.Group) (held []string, err error) { return withOutside(g, holdForever) }

func holdForever(all []firewall.Connection) error { return firewall.Hold(all, 0) }

// Forget lets the packets of the connections of an image through again. The kernel then resets these connections when the peers send.
func Forget(g *image.Group) (forgotten []string, err error) { return withOutside(g, firewall.Release) }

// withOutside calls do for the connections of an image to processes outside of the group, and returns them as text.
func withOutside(g *image.Group, do func([]firewall.Connection) error) (text []string, err error) {
	var all []firewall.Connection
	for _, o := range g.Objects {
		if o.Kind != tcpObjects.name {
			continue
		}
		r, err := tcpRecord(o)
		if err != nil {
			return nil, err
		}
		if r.Outside != nil {
			all = append(all, r.ends())
			text = append(text, r.ends().String())
		}
	}
	return text, do(all)
}
