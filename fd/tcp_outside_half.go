package fd

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// halfStates are the states of a connection to the outside of which one direction has ended, or both.
var halfStates = map[uint8]bool{
	unix.BPF_TCP_FIN_WAIT1: true, unix.BPF_TCP_FIN_WAIT2: true, unix.BPF_TCP_CLOSING: true,
	unix.BPF_TCP_CLOSE_WAIT: true, unix.BPF_TCP_LAST_ACK: true,
}

// ended is how many FINs the peer has sent, 0 or 1. A FIN has a sequence number of its own, after those of the data.
func (s *TCPOutside) ended() uint32 {
	switch s.State {
	case unix.BPF_TCP_CLOSE_WAIT, unix.BPF_TCP_LAST_ACK, unix.BPF_TCP_CLOSING:
		return 1
	}
	return 0
}

// finished is how many FINs this end has sent, 0 or 1.
func (s *TCPOutside) finished() uint32 {
	switch s.State {
	case 0, unix.BPF_TCP_CLOSE_WAIT:
		return 0
	}
	return 1
}

// endOutside ends the directions of a new connection that had ended. The two queues are filled. Packets are dropped, so the FIN of this
// end does not leave the machine yet: the kernel sends it again later.
func (r *TCPSocket) endOutside(socket int) error {
	s := r.Outside
	if s.State == 0 {
		if r.Shutdown&1 != 0 {
			return os.NewSyscallError("shutdown", unix.Shutdown(socket, unix.SHUT_RD))
		}
		return nil
	}
	fin := r.fromPeer(s.Window[1])
	var steps []func() error
	receive := func() error { // the peer's FIN
		fin.flags = flagFIN | flagACK
		return fin.inject("")
	}
	send := func() error { // this end's FIN. The kernel treats it as sent, if it was.
		queue := sendQueue
		if s.FinLater {
			queue = noQueue
		}
		err := unix.SetsockoptInt(socket, unix.SOL_TCP, unix.TCP_REPAIR_QUEUE, queue)
		if err == nil {
			err = unix.Shutdown(socket, unix.SHUT_WR)
		}
		return os.NewSyscallError("shutdown", err)
	}
	acknowledge := func() error { // the peer's answer to it
		fin.flags = flagACK
		fin.acknowledge = s.Send + 1
		return fin.inject("")
	}
	var states []uint8
	switch s.State {
	case unix.BPF_TCP_CLOSE_WAIT:
		steps, states = []func() error{receive}, []uint8{unix.BPF_TCP_CLOSE_WAIT}
	case unix.BPF_TCP_LAST_ACK:
		steps, states = []func() error{receive, send}, []uint8{unix.BPF_TCP_CLOSE_WAIT, unix.BPF_TCP_LAST_ACK}
	case unix.BPF_TCP_FIN_WAIT1:
		steps, states = []func() error{send}, []uint8{unix.BPF_TCP_FIN_WAIT1}
	case unix.BPF_TCP_FIN_WAIT2:
		steps, states = []func() error{send, acknowledge}, []uint8{unix.BPF_TCP_FIN_WAIT1, unix.BPF_TCP_FIN_WAIT2}
	case unix.BPF_TCP_CLOSING:
		steps, states = []func() error{send, receive}, []uint8{unix.BPF_TCP_FIN_WAIT1, unix.BPF_TCP_CLOSING}
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return err
		}
		if err := awaitState(socket, states[i]); err != nil {
			return err
		}
	}
	if r.Shutdown&1 != 0 && s.ended() == 0 {
		return os.NewSyscallError("shutdown", unix.Shutdown(socket, unix.SHUT_RD))
	}
	return s.setWindow(socket, s.Window)
}

// awaitState waits for the effect of a segment on the state of a connection.
func awaitState(socket int, state uint8) error {
	for end := time.Now().Add(arriveMost); ; time.Sleep(time.Millisecond) { // no event tells that an acknowledgment has arrived
		info, err := unix.GetsockoptTCPInfo(socket, unix.SOL_TCP, unix.TCP_INFO)
		switch {
		case err != nil:
			return os.NewSyscallError("TCP_INFO", err)
		case info.State == state:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("the connection is in state %d, not in state %d (TCP_INFO): does a firewall drop packets of the loopback interface?", info.State, state)
		}
	}
}
