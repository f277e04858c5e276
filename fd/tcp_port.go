package fd

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// tcpConnect connects a socket from its own address. It has connect(2) choose the port from a range of one port. After a second,
// connect(2) can use a port again that a connection to the same peer has in TIME_WAIT (tcp_tw_reuse); bind(2) cannot. But connect(2)
// chooses no port to which another socket is bound. In that case tcpConnect binds the socket.
// With SO_REUSEADDR another socket of the group can be bound to the port later: if the end of a connection was closed, it may have
// the port of a listening socket.
func (e *Env) tcpConnect(socket int, r *TCPSocket, connect func() error) error {
	if err := r.setBindOptions(socket, e); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("SO_REUSEADDR", err)
	}
	err := r.connectFromPort(socket, connect)
	if err != unix.EADDRNOTAVAIL {
		return os.NewSyscallError("connect", err)
	}
	if err := r.setRange(socket); err != nil {
		return err
	}
	if err = r.bindShared(socket, e); err == nil {
		return os.NewSyscallError("connect", connect())
	}
	if err != unix.EADDRINUSE {
		return fmt.Errorf("bind to %s: %w", r.Own, err)
	}
	for end := time.Now().Add(reuseMost); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // no event tells that a port in TIME_WAIT can be used again
		if err := r.connectFromPort(socket, connect); err != unix.EADDRNOTAVAIL {
			return os.NewSyscallError("connect", err)
		}
	}
	return errAddressTaken
}

// connectFromPort has connect(2) choose the port. The error is EADDRNOTAVAIL if it cannot.
func (r *TCPSocket) connectFromPort(socket int, connect func() error) error {
	port := int(r.Own.Port())
	if !isEphemeral(port) {
		return unix.EADDRNOTAVAIL
	}
	a, err := inetSockaddr(r.Family, netip.AddrPortFrom(r.Own.Addr(), 0))
	if err == nil {
		err = unix.SetsockoptInt(socket, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	if err == nil {
		err = unix.SetsockoptInt(socket, unix.SOL_IP, ipLocalPortRange, port<<16|port) // Linux 6.3
	}
	if err == nil {
		err = a.bind(socket)
	}
	if err != nil {
		return unix.EADDRNOTAVAIL
	}
	if err = connect(); err == unix.EADDRNOTAVAIL {
		return err
	}
	if err == nil {
		err = r.setRange(socket)
	}
	return err
}

// setRange resets the options that connectFromPort changes.
func (r *TCPSocket) setRange(socket int) error {
	for _, name := range []string{"bind_address_no_port", "local_port_range"} {
		value := r.Options[name]
		if value == nil {
			value = []int32{0}
		}
		if err := bindOptions[name].set(socket, value); err != nil && err != unix.ENOPROTOOPT {
			return fmt.Errorf("socket option %s: %w", name, err)
		}
	}
	return nil
}

// isEphemeral tells whether connect(2) may choose this port. For a port outside of ip_local_port_range the kernel would choose another.
func isEphemeral(port int) bool {
	low, high := ephemeralPorts()
	return low <= port && port <= high
}

// ephemeralPorts is ip_local_port_range of ip(7).
var ephemeralPorts = sync.OnceValues(func() (low, high int) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if _, scan := fmt.Sscan(string(text), &low, &high); err != nil || scan != nil {
		return 0, -1
	}
	return low, high
})
