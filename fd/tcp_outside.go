package fd

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

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

func repair(socket, mode int) error {
	return os.NewSyscallError("TCP_REPAIR", unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_REPAIR, mode))
}

// endRepair ends the repair mode. The kernel then clears SO_REUSEADDR, so endRepair sets it again. reuse is the value before the repair mode.
func endRepair(socket, reuse int) error {
	if err := repair(socket, repairOffQuietly); err != nil {
		return err
	}
	return os.NewSyscallError("SO_REUSEADDR", unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR, reuse))
}

func (r *TCPSocket) ends() firewall.Connection {
	return firewall.Connection{Own: *r.Own, Peer: *r.Remote}
}

// lookOutside reads the state of a connection to the outside. From then on its packets are dropped until ReleaseConnections. Otherwise
// the kernel would acknowledge data that is not in the image.
func (t *Table) lookOutside(r *TCPSocket, o *open) (content []byte, err error) {
	t.held = append(t.held, heldConnection{r.ends(), o.source()})
	r.Outside, content, err = privileged.look(o.handle.fd, r.ends())
	return content, err
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
