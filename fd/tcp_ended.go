package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// endedMost is how long the kernel keeps the port of a connection that has ended: TCP_TIMEWAIT_LEN is 60 s (net/tcp.h).
	endedMost = 65 * time.Second
	// endedPause is the time between two attempts to bind: the kernel has no event for the end of TIME_WAIT.
	endedPause = 50 * time.Millisecond

	sockDestroy = 21 // SOCK_DESTROY of linux/sock_diag.h
)

// isEnded tells whether no process has a connection any more, and the kernel keeps it for late packets: TIME_WAIT, for example.
func (s *inetSocket) isEnded() bool {
	return s.inode == 0 && s.state != unix.BPF_TCP_LISTEN && !isQueued(s.state)
}

// sameAddress tells whether bind(2) takes two addresses for the same one.
func sameAddress(a, b netip.AddrPort) bool {
	a, b = plain(a), plain(b)
	return a.Port() == b.Port() && (a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

// socketsAt lists the sockets with an address: those of ended connections, and the number of others.
func socketsAt(own netip.AddrPort) (ended []inetSocket, others int, err error) {
	all, err := inetSockets(unix.IPPROTO_TCP)
	for _, s := range all {
		switch {
		case !sameAddress(s.own, own):
		case s.isEnded():
			ended = append(ended, s)
		default:
			others++
		}
	}
	return ended, others, err
}

// onlyEnded tells whether an address is in use because of nothing but ended connections. Then a restart can wait.
func onlyEnded(own netip.AddrPort) bool {
	ended, others, err := socketsAt(own)
	return err == nil && len(ended) > 0 && others == 0
}

// bindLater is bind, or untilEnded if the address is in use.
func (r *TCPSocket) bindLater(socket int, e *Env) error {
	return e.untilEnded(func() error { return r.bind(socket, e) }, *r.Own)
}

// untilEnded tries something that fails with EADDRINUSE while ended connections have one of the addresses. It removes those in TIME_WAIT,
// which takes CAP_NET_ADMIN, or waits for their end.
func (e *Env) untilEnded(try func() error, addresses ...netip.AddrPort) error {
	for end := time.Now().Add(endedMost); ; time.Sleep(endedPause) {
		err := try()
		if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(end) {
			return err
		}
		remain := false
		for _, at := range addresses {
			ended, _, failed := socketsAt(at)
			if failed != nil || len(ended) == 0 {
				continue
			}
			remain = true
			if endAll(ended) != nil {
				e.Tell(fmt.Sprintf("waiting up to a minute for the end of earlier connections from %s (TIME_WAIT): only CAP_NET_ADMIN may remove them", at))
			}
		}
		if !remain {
			return try() // the last one may have ended meanwhile
		}
	}
}

// endAll removes connections in TIME_WAIT, with SOCK_DESTROY. Others must end by themselves: it would send resets for them.
func endAll(ended []inetSocket) error {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, s := range ended {
		if s.state != unix.BPF_TCP_TIME_WAIT {
			err = errors.Join(err, unix.EBUSY)
			continue
		}
		_, failed := c.Execute(netlink.Message{
			Header: netlink.Header{Type: sockDestroy, Flags: netlink.Request | netlink.Acknowledge},
			Data:   s.request(),
		})
		if !errors.Is(failed, unix.ENOENT) { // it has ended by itself
			err = errors.Join(err, failed)
		}
	}
	return err
}

// request is a struct inet_diag_req_v2 that names the socket.
func (s *inetSocket) request() []byte {
	b := make([]byte, inetDiagRequest)
	b[0], b[1] = s.family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], ^uint32(0)) // in every state
	binary.BigEndian.PutUint16(b[8:], s.own.Port())
	binary.BigEndian.PutUint16(b[10:], s.peer.Port())
	copy(b[12:28], s.own.Addr().AsSlice())
	copy(b[28:44], s.peer.Addr().AsSlice())
	binary.NativeEndian.PutUint32(b[44:], s.device)
	binary.NativeEndian.PutUint64(b[48:], ^uint64(0)) // no cookie
	return b
}
