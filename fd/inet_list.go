package fd

import (
	"golang.org/x/sys/unix"
)

// mostLists bounds how often the kernel is asked for the list of all sockets.
const mostLists = 4

// listTCP lists all TCP sockets. The kernel lists them in many steps, and may leave out a socket if others are closed meanwhile. So the list
// is made again while it lacks a socket of the group, and once more if it lacks the other end of a connection or a connection that waits for accept(2).
func (c *capture) listTCP(group map[uint32]*open) ([]inetSocket, error) {
	known := make(map[uint32]inetSocket) // sockets of frozen members, which stay as they are
	for asked := 1; ; asked++ {
		all, err := inetSockets(unix.IPPROTO_TCP)
		if err != nil {
			return nil, err
		}
		listed := make(map[uint32]bool)
		for _, s := range all {
			listed[s.inode] = true
			if o := group[s.inode]; o != nil && o.member.Calls != nil {
				known[s.inode] = s
			}
		}
		for inode, s := range known {
			if !listed[inode] {
				all = append(all, s)
			}
		}
		if asked == mostLists || !c.lacksOwn(group, known) && (asked > 1 || !lacksOthers(group, all)) {
			return all, nil
		}
	}
}

// lacksOwn tells whether a socket of a frozen member is not known although it listens or is connected.
func (c *capture) lacksOwn(group map[uint32]*open, known map[uint32]inetSocket) bool {
	for inode, o := range group {
		if _, is := known[inode]; is || o.member.Calls == nil || c.handles.take(o) != nil {
			continue
		}
		lacks := false
		if o.handle.asks() {
			info, err := unix.GetsockoptTCPInfo(o.handle.fd, unix.SOL_TCP, unix.TCP_INFO)
			lacks = err == nil && info.State != unix.BPF_TCP_CLOSE // a closed one is not listed, and one that is only bound since Linux 6.8
		}
		o.release()
		if lacks {
			return true
		}
	}
	return false
}

// lacksOthers tells whether a connection of the group has no other end in the list, or a listening socket of the group has more connections that wait than
// the list has. Both may be true.
func lacksOthers(group map[uint32]*open, all []inetSocket) bool {
	ends, waiting, ours := make(map[tcpEnds]bool), make(map[uint16]uint32), make(map[uint16]uint32)
	for _, s := range all {
		ends[tcpEnds{plain(s.own), plain(s.peer)}] = true
		switch {
		case s.inode == 0 && isQueued(s.state):
			waiting[s.own.Port()]++
		case s.state == unix.BPF_TCP_LISTEN && group[s.inode] != nil:
			ours[s.own.Port()] += s.received
		}
	}
	for _, s := range all {
		if group[s.inode] != nil && s.peer.Port() != 0 && s.peer.Addr().IsLoopback() && !ends[tcpEnds{plain(s.peer), plain(s.own)}] {
			return true
		}
	}
	for port, n := range ours {
		if waiting[port] < n {
			return true
		}
	}
	return false
}
