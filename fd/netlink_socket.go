package fd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// NetlinkSocket is the record of a socket of the family AF_NETLINK (netlink(7)).
type NetlinkSocket struct {
	Type         int                `json:"type"`                  // SOCK_RAW, SOCK_DGRAM
	Protocol     int                `json:"protocol"`              // NETLINK_ROUTE, …
	Port         uint32             `json:"port,omitempty"`        // its port ID; 0: it is not bound
	Groups       []uint32           `json:"groups,omitempty"`      // the multicast groups that it has joined, from 1 on
	Peer         uint32             `json:"peer,omitempty"`        // of connect(2): a port ID
	PeerMask     uint32             `json:"peer_groups,omitempty"` // of connect(2): a mask of groups
	Options      map[string][]int32 `json:"options,omitempty"`
	Filter       SocketFilter       `json:"filter,omitempty"`
	FilterLocked bool               `json:"filter_locked,omitempty"` // SO_LOCK_FILTER
}

// netlinkProtocols are the protocols for which the kernel keeps no other state of a socket than its groups.
var netlinkProtocols = map[int]bool{
	unix.NETLINK_ROUTE: true, unix.NETLINK_USERSOCK: true, unix.NETLINK_SOCK_DIAG: true, unix.NETLINK_XFRM: true, unix.NETLINK_SELINUX: true,
	unix.NETLINK_CONNECTOR: true, unix.NETLINK_KOBJECT_UEVENT: true, unix.NETLINK_GENERIC: true,
}

var netlinkOptions = optionTable{
	"netlink_pktinfo":         {unix.SOL_NETLINK, unix.NETLINK_PKTINFO, 1, false, 0},
	"netlink_broadcast_error": {unix.SOL_NETLINK, unix.NETLINK_BROADCAST_ERROR, 1, false, 0},
	"netlink_no_enobufs":      {unix.SOL_NETLINK, unix.NETLINK_NO_ENOBUFS, 1, false, 0},
	"netlink_all_namespaces":  {unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1, false, 0},
	"netlink_short_errors":    {unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1, false, 0},
	"netlink_extended_errors": {unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1, false, 0},
	"netlink_strict_check":    {unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1, false, 0},
}

// netlinkGroupsMost bounds the numbers of multicast groups. New kernels have more groups of NETLINK_GENERIC.
const netlinkGroupsMost = 1 << 16

var netlinkSocketKind = kind{
	name: "netlink_socket",
	is:   func(o *open) bool { return o.protocol == "NETLINK" },
	capture: func(c *capture, o *open) (any, error) {
		if err := c.private(o, socketName(o)); err != nil {
			return nil, err
		}
		r := new(NetlinkSocket)
		if why := unreadable(o); why != nil || o.member.Calls == nil {
			return r, why
		}
		if err := r.look(c, o); err != nil {
			why := socketObstacle(o, err.Error(), "try again a moment later; "+closeIt)
			why.Passes = passes(err)
			return nil, why
		}
		return r, nil
	},
	check: func(d image.Description, _ *Env) obstacle.List {
		r, err := netlinkRecord(d)
		if err != nil {
			return broken(err)
		}
		f, err := r.make(&Env{})
		if err == nil {
			f.Close()
			return nil
		}
		return obstacle.List{{What: "netlink socket", Why: err.Error(), Do: "end the process that has this port ID, or restart as a user who may do that"}}
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := netlinkRecord(d)
		if err != nil {
			return nil, err
		}
		return r.make(env)
	},
}

func netlinkRecord(d image.Description) (NetlinkSocket, error) {
	r, err := record[NetlinkSocket](d)
	if err != nil {
		return r, err
	}
	if !netlinkProtocols[r.Protocol] || r.Type != unix.SOCK_RAW && r.Type != unix.SOCK_DGRAM {
		return r, fmt.Errorf("type %d, protocol %d: not a netlink socket", r.Type, r.Protocol)
	}
	for _, group := range r.Groups {
		if group == 0 || group > netlinkGroupsMost {
			return r, fmt.Errorf("netlink group %d", group)
		}
	}
	return r, errors.Join(checkOptions(r.Options, socketOptions, netlinkOptions), r.Filter.check())
}

// look reads the state of a socket through a handle.
func (r *NetlinkSocket) look(c *capture, o *open) (err error) {
	socket := o.handle.fd
	for option, value := range map[int]*int{unix.SO_TYPE: &r.Type, unix.SO_PROTOCOL: &r.Protocol} {
		if *value, err = unix.GetsockoptInt(socket, unix.SOL_SOCKET, option); err != nil {
			return os.NewSyscallError("getsockopt", err)
		}
	}
	if !netlinkProtocols[r.Protocol] {
		return fmt.Errorf("it is of the netlink protocol %d, of which the kernel does not show all state", r.Protocol)
	}
	own, err := ownAddress(socket)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	peer, err := peerAddress(socket)
	if err != nil {
		return os.NewSyscallError("getpeername", err)
	}
	r.Port, _ = own.netlink()
	r.Peer, r.PeerMask = peer.netlink()
	if err := r.nothingUnread(o); err != nil {
		return err
	}
	if r.Groups, err = netlinkGroups(socket); err != nil {
		return err
	}
	if r.Filter, err = filterOf(socket); err != nil {
		return err
	}
	if r.FilterLocked, err = isLocked(socket); err != nil {
		return err
	}
	usual, err := c.usual(fmt.Sprint("NETLINK ", r.Type, r.Protocol), r.open, socketOptions, netlinkOptions)
	if err != nil {
		return err
	}
	r.Options = usual.changed(socket)
	return nil
}

// nothingUnread refuses messages of the kernel that the program has not read, because only the kernel can send such messages. It does not
// look at the memory of the queue: a notification of mq_notify(3) that has not been sent yet is a part of it.
func (r *NetlinkSocket) nothingUnread(o *open) error {
	ready, err := eventsOf(o.handle.fd, unix.POLLIN)
	if err != nil {
		return err
	}
	dumps, err := netlinkDumps(o.stat.Ino)
	if err == nil && (dumps || ready != 0) {
		err = passing("it has messages of the kernel that the program has not read yet")
	}
	return err
}

// netlinkDumps tells whether a dump has not been read to its end. /proc/net/netlink has a line for each socket that is bound: its
// address, protocol, port ID, groups, memory of the receive queue and of the send queue, whether a dump goes on, and at last the inode.
func netlinkDumps(inode uint64) (bool, error) {
	text, err := proc.ReadFile("/proc/thread-self/net/netlink")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 10 && f[len(f)-1] == strconv.FormatUint(inode, 10) {
			return f[6] != "0", nil
		}
	}
	return false, nil
}

func netlinkGroups(socket int) (all []uint32, err error) {
	text := make([]byte, netlinkGroupsMost/8)
	n, err := getBytes(socket, unix.SOL_NETLINK, unix.NETLINK_LIST_MEMBERSHIPS, text)
	if err != nil || n > len(text) {
		return nil, fmt.Errorf("NETLINK_LIST_MEMBERSHIPS: %d bytes: %w", n, err)
	}
	for at := 0; at+4 <= n; at += 4 {
		word := binary.NativeEndian.Uint32(text[at:])
		for bit := range 32 {
			if word&(1<<bit) != 0 {
				all = append(all, uint32(8*at+bit+1))
			}
		}
	}
	return all, nil
}

func (r *NetlinkSocket) open() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, r.Type|unix.SOCK_CLOEXEC, r.Protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

func (r *NetlinkSocket) make(env *Env) (*os.File, error) {
	f, err := r.open()
	if err != nil {
		return nil, err
	}
	if err := r.set(int(f.Fd()), env); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (r *NetlinkSocket) set(socket int, env *Env) error {
	if r.Port != 0 {
		a := netlinkSockaddr(r.Port, 0)
		if err := a.bind(socket); err != nil {
			return fmt.Errorf("port ID %d: %w", r.Port, err)
		}
	}
	if r.Peer != 0 || r.PeerMask != 0 {
		a := netlinkSockaddr(r.Peer, r.PeerMask)
		if err := a.connect(socket); err != nil {
			return fmt.Errorf("connect to port ID %d: %w", r.Peer, err)
		}
	}
	if err := setOptions(socket, r.Options, env, socketOptions, netlinkOptions); err != nil {
		return err
	}
	if err := r.Filter.attachLast(socket, r.FilterLocked); err != nil {
		return err
	}
	for _, group := range r.Groups {
		if err := unix.SetsockoptInt(socket, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group)); err != nil {
			return fmt.Errorf("group %d: %w", group, err)
		}
	}
	return nil
}

func netlinkSockaddr(port, groups uint32) (a sockaddr) {
	binary.NativeEndian.PutUint16(a.bytes[:], unix.AF_NETLINK)
	binary.NativeEndian.PutUint32(a.bytes[4:], port)
	binary.NativeEndian.PutUint32(a.bytes[8:], groups)
	a.length = unix.SizeofSockaddrNetlink
	return a
}

// netlink is the port ID and the mask of groups in a struct sockaddr_nl.
func (a *sockaddr) netlink() (port, groups uint32) {
	return binary.NativeEndian.Uint32(a.bytes[4:]), binary.NativeEndian.Uint32(a.bytes[8:])
}
