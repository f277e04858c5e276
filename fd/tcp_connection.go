package fd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// connectMost is how long a connection on this machine may take. Only a firewall makes it take longer.
	connectMost = 5 * time.Second
	// reuseMost is longer than the time after which connect(2) can use a port in TIME_WAIT again, if tcp_tw_reuse (ip-sysctl.rst)
	// allows that.
	reuseMost = 1500 * time.Millisecond
)

// bind gives a socket its address. If the address is in use, bind tries again with SO_REUSEADDR, because connections of the group that
// were accepted from a listening socket have the same port. setOptions resets the option.
func (r *TCPSocket) bind(socket int, e *Env) error {
	if err := r.setBindOptions(socket, e); err != nil {
		return err
	}
	a, err := inetSockaddr(r.Family, *r.Own)
	if err != nil {
		return err
	}
	if err = a.bind(socket); err == unix.EADDRINUSE {
		if err = unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
			err = a.bind(socket)
		}
	}
	if err != nil {
		return fmt.Errorf("bind to %s: %w", r.Own, err)
	}
	return nil
}

// bindShared gives an end of a connection its address. Other sockets of the group may have the same address.
func (r *TCPSocket) bindShared(socket int, e *Env) error {
	if err := r.setBindOptions(socket, e); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("SO_REUSEADDR", err)
	}
	a, err := inetSockaddr(r.Family, *r.Own)
	if err != nil {
		return err
	}
	return a.bind(socket)
}

// tcpPair makes a connection. A temporary socket listens at the address of one end, and accepts the connection.
func (e *Env) tcpPair(a, b *TCPSocket) (fileA, fileB *os.File, err error) {
	client, server := a, b
	if isServer(a, b) {
		client, server = b, a
	}
	c, s, err := e.tcpConnection(client, server)
	if errors.Is(err, errAddressTaken) { // perhaps by TIME_WAIT; then the other end may be free to listen
		var again error
		if s, c, again = e.tcpConnection(server, client); again == nil {
			err = nil
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("TCP connection from %s to %s: %w", client.Own, server.Own, err)
	}
	if client == a {
		return c, s, nil
	}
	return s, c, nil
}

// tcpToClosed makes a connection whose other end was closed. That end serves only to end the connection. So if another process has its
// address, such as a server that listens there, the end gets a free port.
func (e *Env) tcpToClosed(r *TCPSocket) (own, closed *os.File, err error) {
	peer := TCPSocket{Family: r.Family, Own: r.Remote, Remote: r.Own}
	own, closed, err = e.tcpPair(r, &peer)
	if !errors.Is(err, errAddressTaken) {
		return own, closed, err
	}
	client, free := *r, netip.AddrPortFrom(r.Remote.Addr(), 0)
	peer.Own = &free
	own, closed, again := e.tcpConnection(&client, &peer)
	if again != nil {
		return nil, nil, err
	}
	e.Tell(fmt.Sprintf("a TCP socket whose peer %s has closed the connection names the peer %s now: another process has the peer's address",
		r.Remote, client.Remote))
	return own, closed, nil
}

// isServer tells whether a restart connects from b to a: if a was accepted, or else if a has the lower port.
func isServer(a, b *TCPSocket) bool {
	if a.Accepted != b.Accepted {
		return a.Accepted
	}
	return a.Own.Port() < b.Own.Port()
}

var errAddressTaken = fmt.Errorf("%w: a process outside of the program has it, or an ended connection is in TIME_WAIT: "+
	"end that process, or try again in a minute", unix.EADDRINUSE)

// tcpConnection makes a connection. If the server's port is 0, the kernel chooses one, and client.Remote becomes the server's address.
func (e *Env) tcpConnection(client, server *TCPSocket) (c, s *os.File, err error) {
	l, err := newTCP(server.Family)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	listening := int(l.Fd())
	switch err := server.bindShared(listening, e); {
	case err == unix.EADDRINUSE:
		return nil, nil, errAddressTaken
	case err != nil:
		return nil, nil, err
	}
	if server.Own.Port() == 0 {
		own, err := ownAddress(listening)
		if err != nil {
			return nil, nil, err
		}
		chosen := own.inet()
		client.Remote = &chosen
	}
	// Another process that connects meanwhile gets no answer, and its kernel tries again a second later. Some kernels allow only root to
	// attach a filter to a TCP socket. Then acceptFrom ends the connection of the other process.
	if err := onlyFrom(client.Own.Port()).attach(listening); err != nil && err != unix.EPERM {
		return nil, nil, os.NewSyscallError("SO_ATTACH_FILTER", err)
	}
	if err := unix.Listen(listening, 1); err != nil {
		return nil, nil, os.NewSyscallError("listen", err)
	}
	if c, err = newTCP(client.Family); err != nil {
		return nil, nil, err
	}
	to, err := inetSockaddr(client.Family, *client.Remote)
	if err == nil {
		err = e.tcpConnect(int(c.Fd()), client, func() error { return connectWithin(int(c.Fd()), &to) })
	}
	if err == nil {
		s, err = acceptFrom(listening, plain(*client.Own))
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, s, nil
}

// onlyFrom is a filter that accepts packets from one port. The packet begins with the TCP header.
func onlyFrom(port uint16) SocketFilter {
	return SocketFilter{
		{unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, 0, 0, 0},
		{unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, 0, 1, uint32(port)},
		{unix.BPF_RET | unix.BPF_K, 0, 0, ^uint32(0)},
		{unix.BPF_RET | unix.BPF_K, 0, 0, 0},
	}
}

// acceptFrom accepts a connection from the given address. It ends connections from other addresses.
func acceptFrom(listening int, from netip.AddrPort) (*os.File, error) {
	for range 100 {
		switch events, err := awaitEvents(listening, unix.POLLIN, time.Now().Add(connectMost)); {
		case err != nil:
			return nil, err
		case events == 0:
			return nil, errNoConnection
		}
		fd, _, err := unix.Accept4(listening, unix.SOCK_CLOEXEC)
		if err != nil {
			return nil, os.NewSyscallError("accept", err)
		}
		f := os.NewFile(uintptr(fd), "socket")
		if peer, err := peerAddress(fd); err != nil || plain(peer.inet()) != from {
			f.Close()
			continue
		}
		if err := SocketFilter(nil).attach(fd); err != nil && err != unix.EPERM {
			f.Close()
			return nil, os.NewSyscallError("SO_DETACH_FILTER", err)
		}
		return f, nil
	}
	return nil, errors.New("other processes connect to this address all the time")
}

// connectWithin connects, and waits until the connection exists, for connectMost at most. It does not use SO_SNDTIMEO: connect(2) with this
// timeout fails with EINTR when a signal comes, and the Go runtime sends signals to its own threads.
func connectWithin(socket int, to *sockaddr) error {
	by := time.Now().Add(connectMost)
	err := connectLater(socket, to)
	if err == nil {
		err = awaitConnection(socket, by)
	}
	if errors.Is(err, errNoConnection) {
		return fmt.Errorf("%w: does a firewall drop connections on this machine?", err)
	}
	return err
}

// connectLater begins to connect, and does not wait for an answer.
func connectLater(socket int, to *sockaddr) error {
	flags, err := unix.FcntlInt(uintptr(socket), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(socket), unix.F_SETFL, flags|unix.O_NONBLOCK)
	}
	if err != nil {
		return err
	}
	if err = to.connect(socket); err == unix.EINPROGRESS {
		err = nil
	}
	if _, back := unix.FcntlInt(uintptr(socket), unix.F_SETFL, flags); err == nil {
		err = back
	}
	return err
}
