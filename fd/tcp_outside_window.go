package fd

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Words of TCPOutside.Window, struct tcp_repair_window.
const updatedBy, sendWindow, largestWindow, receiveWindow, receivedUpTo = 0, 1, 2, 3, 4

// openWindow sets the windows of a new connection. The kernel has computed the size of the segments that it sends before it knew the
// largest window of the peer, and computes it again only when the peer advertises a larger window than ever. So a segment does that.
func (r *TCPSocket) openWindow(socket int) error {
	s := r.Outside
	window := s.Window
	window[receiveWindow] += s.ended() // the peer's FIN has not arrived yet
	window[receivedUpTo] -= s.ended()
	largest := r.fromPeer(window[largestWindow])
	largest.flags = flagACK
	small := window
	small[sendWindow], small[largestWindow] = 0, 0
	small[updatedBy] = largest.sequence - 1 // the kernel ignores the windows of older segments
	if err := s.setWindow(socket, small); err != nil {
		return err
	}
	if err := largest.inject(""); err != nil {
		return err
	}
	for end := time.Now().Add(arriveMost); ; time.Sleep(time.Millisecond) { // no event tells that the segment has arrived
		now, err := windowOf(socket)
		switch {
		case err != nil:
			return err
		case now[largestWindow]>>s.SendScale == uint32(largest.window):
			return s.setWindow(socket, window)
		case time.Now().After(end):
			return errors.New("the peer's window does not arrive: does a firewall drop packets of the loopback interface?")
		}
	}
}

// fromPeer is a segment with which the peer acknowledges nothing new, and advertises a window.
func (r *TCPSocket) fromPeer(window uint32) segment {
	s := r.Outside
	scale := s.SendScale
	if !s.Scales {
		scale = 0
	}
	return segment{
		from: *r.Remote, to: *r.Own,
		sequence:    s.Receive + uint32(s.Received),
		acknowledge: s.Send,
		window:      uint16(min(window>>scale, 0xffff)),
	}
}

// probe sends a segment that the peer has received already. The peer answers it with an acknowledgment, which has its window.
func (r *TCPSocket) probe() error {
	s := r.Outside
	if s.State != 0 {
		return nil // the kernel sends the FIN again
	}
	scale := s.ReceiveScale
	if !s.Scales {
		scale = 0
	}
	probe := segment{
		from: *r.Own, to: *r.Remote,
		sequence:    s.Send - 1,
		acknowledge: s.Receive + uint32(s.Received),
		window:      uint16(min(s.Window[receiveWindow]>>scale, 0xffff)),
		flags:       flagACK,
	}
	return probe.inject(r.Device)
}

func windowOf(socket int) (words [5]uint32, err error) {
	var window [20]byte
	_, err = getBytes(socket, unix.SOL_TCP, unix.TCP_REPAIR_WINDOW, window[:])
	for i := range words {
		words[i] = binary.NativeEndian.Uint32(window[4*i:])
	}
	return words, os.NewSyscallError("TCP_REPAIR_WINDOW", err)
}

func (s *TCPOutside) setWindow(socket int, words [5]uint32) error {
	var window []byte
	for _, word := range words {
		window = binary.NativeEndian.AppendUint32(window, word)
	}
	return os.NewSyscallError("TCP_REPAIR_WINDOW", setBytes(socket, unix.SOL_TCP, unix.TCP_REPAIR_WINDOW, window))
}
