package fd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/firewall"
)

// look reads the state of a connection. The program runs on if it disobeys CRAK, and can use the socket at the same time: in repair mode it
// could make a connection that the peer does not know. So look checks the socket again at the end, and gives up a connection that has
// changed.
func (s *keeperServer) look(socket int) (reply keeperReply, answer *os.File, err error) {
	ends, err := connectionOf(socket)
	if err != nil {
		return reply, nil, err
	}
	reply.Outside, answer, reply.Size, err = s.read(socket, ends)
	if off := insistOnEnd(socket); off != nil {
		err = errors.Join(err, off)
	}
	if again, changed := connectionOf(socket); changed != nil || again != ends {
		disconnect(socket)
		err = errors.Join(err, errors.New("the program has changed it during the checkpoint"))
	}
	if err != nil {
		if answer != nil {
			answer.Close()
		}
		return reply, nil, errors.Join(err, s.release(ends))
	}
	return reply, answer, nil
}

func (s *keeperServer) read(socket int, ends firewall.Connection) (*TCPOutside, *os.File, int, error) {
	if err := firewall.Hold([]firewall.Connection{ends}, pauseMost, s.user, ""); err != nil {
		return nil, nil, 0, fmt.Errorf("crak cannot drop its packets during the checkpoint: %w", err)
	}
	s.held[ends] = true
	if again, err := connectionOf(socket); err != nil || again != ends {
		return nil, nil, 0, errors.New("it has changed")
	}
	state, content, err := readOutside(socket)
	if err != nil {
		return nil, nil, 0, err
	}
	memory, err := memoryWith(content)
	return state, memory, len(content), err
}

// connectionOf returns the addresses of a connection, if the socket is one of TCP in this network namespace, and connected.
func connectionOf(socket int) (ends firewall.Connection, err error) {
	for option, want := range map[int]int{unix.SO_TYPE: unix.SOCK_STREAM, unix.SO_PROTOCOL: unix.IPPROTO_TCP} {
		if is, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, option); err != nil || is != want {
			return ends, errors.New("keeper: not a TCP socket")
		}
	}
	if here, err := isOfThisNetwork(socket); err != nil || !here {
		return ends, errors.Join(errors.New("it is in another network namespace than crak"), err)
	}
	info, err := unix.GetsockoptTCPInfo(socket, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return ends, os.NewSyscallError("TCP_INFO", err)
	}
	if info.State != unix.BPF_TCP_ESTABLISHED && !halfStates[info.State] {
		return ends, passing(fmt.Sprintf("it is in state %d (TCP_INFO)", info.State))
	}
	own, err := ownAddress(socket)
	if err != nil {
		return ends, os.NewSyscallError("getsockname", err)
	}
	peer, err := peerAddress(socket)
	if err != nil {
		return ends, os.NewSyscallError("getpeername", err)
	}
	ends = normal(firewall.Connection{Own: own.inet(), Peer: peer.inet()})
	if !ends.Own.IsValid() || !ends.Peer.IsValid() {
		return ends, errors.New("keeper: not a socket of IPv4 or IPv6")
	}
	return ends, nil
}

// isOfThisNetwork tells whether a socket is in the network namespace of this process.
func isOfThisNetwork(socket int) (bool, error) {
	theirs, err := unix.IoctlRetInt(socket, unix.SIOCGSKNS)
	if err != nil {
		return false, os.NewSyscallError("SIOCGSKNS", err)
	}
	defer unix.Close(theirs)
	var of, ours unix.Stat_t
	if err := errors.Join(unix.Fstat(theirs, &of), unix.Stat("/proc/self/ns/net", &ours)); err != nil {
		return false, err
	}
	return of.Dev == ours.Dev && of.Ino == ours.Ino, nil
}

// insistOnEnd ends the repair mode, if readOutside has not. The kernel refuses that for a listening socket, and the program can let the
// socket listen meanwhile.
func insistOnEnd(socket int) error {
	reuse, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR)
	if err != nil {
		return os.NewSyscallError("SO_REUSEADDR", err)
	}
	for range 10000 {
		if err = endRepair(socket, reuse); err == nil {
			return nil
		}
		disconnect(socket)
	}
	return err
}
