package fd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mostStrangers is how many connections of other processes a restart ends before it gives up.
const mostStrangers = 100

// acceptUnix accepts the connection of a client from a listening socket. Another process can connect to the socket's name, too. The program
// must not get that connection in place of its own, so acceptUnix ends it. Preconditions: the client is connected.
func (e *Env) acceptUnix(listening *madeUnix, client *os.File) (*os.File, error) {
	socket := int(listening.file.Fd())
	for range mostStrangers {
		// If another user has replaced the socket's file meanwhile, no connection waits in this socket.
		if events, err := eventsOf(socket, unix.POLLIN); err != nil || events == 0 {
			return nil, fmt.Errorf("%s: another socket has this name now", listening.record.Name)
		}
		fd, _, err := unix.Accept4(socket, unix.SOCK_CLOEXEC)
		if err != nil {
			return nil, os.NewSyscallError("accept", err)
		}
		accepted := os.NewFile(uintptr(fd), "socket")
		is, err := e.arePeers(accepted, client)
		if is {
			return accepted, nil
		}
		accepted.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: other processes connect to this name all the time", listening.record.Name)
}

// arePeers asks the kernel whether two sockets are the ends of one connection. Names and credentials do not tell that: several clients can
// have the same ones.
func (e *Env) arePeers(a, b *os.File) (bool, error) {
	var one, other unix.Stat_t
	if err := errors.Join(unix.Fstat(int(a.Fd()), &one), unix.Fstat(int(b.Fd()), &other)); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	if e.peers == nil {
		var err error
		if e.peers, err = dialUnix(); err != nil {
			return false, err
		}
	}
	inode := uint32(one.Ino)
	delete(e.peers.all, inode) // the kernel may have used the number for an earlier socket
	s, err := e.peers.of(inode)
	if err == nil && s == nil {
		err = errors.New("sock_diag does not know a new socket")
	}
	return err == nil && s.peer == uint32(other.Ino), err
}
