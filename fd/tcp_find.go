package fd

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// tcpSockets are all TCP sockets of the network namespace. It is empty if the group has no TCP socket.
type tcpSockets struct {
	all      []inetSocket
	ends     map[tcpEnds]*inetSocket // connections, by the addresses of an end
	group    map[uint32]*open        // sockets of the group, by inode
	servers  map[uint16][]*open      // those that listen, by port
	machines map[netip.Addr]bool     // addresses of this machine
}

type tcpEnds struct{ own, remote netip.AddrPort }

// findTCP asks the kernel about all TCP sockets.
func (c *capture) findTCP(descriptions []*open) error {
	t := tcpSockets{ends: make(map[tcpEnds]*inetSocket), group: make(map[uint32]*open), servers: make(map[uint16][]*open), machines: make(map[netip.Addr]bool)}
	for _, o := range descriptions {
		if isTCP(o) {
			t.group[uint32(o.stat.Ino)] = o
		}
	}
	if len(t.group) == 0 {
		return nil
	}
	var err error
	if t.all, err = c.listTCP(t.group); err != nil {
		return err
	}
	for i := range t.all {
		s := &t.all[i]
		if s.state != unix.BPF_TCP_LISTEN && s.peer.Port() != 0 {
			t.ends[tcpEnds{plain(s.own), plain(s.peer)}] = s
		}
		if o := t.group[s.inode]; o != nil {
			o.inet = s
			if s.state == unix.BPF_TCP_LISTEN {
				t.servers[s.own.Port()] = append(t.servers[s.own.Port()], o)
			}
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return fmt.Errorf("addresses of this machine: %w", err)
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			t.machines[prefix.Addr().Unmap().WithZone("")] = true
		}
	}
	c.tcp = t
	return nil
}

// isHere tells whether an address is one of this machine.
func (t *tcpSockets) isHere(a netip.Addr) bool { return a.IsLoopback() || t.machines[a] }

// isGone tells whether the peer of a connection has closed it, if this machine's list of sockets has no other end. An address of this machine
// is not enough: with DNAT, the peer of a connection to such an address may be in another network namespace or on another machine. So the
// state must show that the peer's FIN or RST has arrived.
func (t *tcpSockets) isGone(s *inetSocket) bool {
	if !t.isHere(plain(s.peer).Addr()) {
		return false
	}
	switch s.state {
	case unix.BPF_TCP_ESTABLISHED, unix.BPF_TCP_SYN_SENT, unix.BPF_TCP_SYN_RECV, unix.BPF_TCP_FIN_WAIT1, unix.BPF_TCP_FIN_WAIT2:
		return false
	}
	return true
}

// isQueued tells whether a socket that no process has is a connection that waits for accept(2). If it is not, it has been closed.
func isQueued(state uint8) bool {
	return state == unix.BPF_TCP_ESTABLISHED || state == unix.BPF_TCP_SYN_RECV || state == unix.BPF_TCP_CLOSE_WAIT
}

// listener is a listening socket of the group that has the address of a connection.
func (t *tcpSockets) listener(s *inetSocket) *open {
	var best *open
	for _, o := range t.servers[s.own.Port()] {
		if plain(o.inet.own) == plain(s.own) {
			return o
		}
		if o.inet.own.Addr().IsUnspecified() {
			best = o
		}
	}
	return best
}

// order is the place of a listening socket among those of its address and family, in the order of their calls of listen(2).
func (t *tcpSockets) order(s *inetSocket) uint32 {
	var before, all uint32
	for i := range t.all {
		l := &t.all[i]
		if l == s {
			before = all
		}
		if l.state == unix.BPF_TCP_LISTEN && l.own == s.own && t.group[l.inode] != nil {
			all++
		}
	}
	if s.family == unix.AF_INET { // the kernel lists the socket that began to listen last first
		return all - 1 - before
	}
	return before
}

// checkWaiting refuses a listening socket in which a connection from outside of the group waits.
func (t *tcpSockets) checkWaiting(o *open) error {
	if o.member.Calls == nil {
		return nil
	}
	for i := range t.all {
		s := &t.all[i]
		if s.inode != 0 || !isQueued(s.state) || t.listener(s) != o {
			continue
		}
		client := t.ends[tcpEnds{plain(s.peer), plain(s.own)}]
		if client == nil || t.group[client.inode] == nil {
			if o.member.Overrides.ofKind(tcpObjects.name, inetEndOf(s.own, s.peer).address).connectionChoice() == Reset {
				continue // a restart does not have it: the peer gets a reset
			}
			why := tcpObstacle(o, fmt.Sprintf("a connection from %s, outside of the program, waits in it", s.peer),
				fmt.Sprintf("try again when the program has accepted it, or make an image without it: --fd %s=close", s.pattern()))
			why.Passes = true
			return why
		}
	}
	return nil
}
