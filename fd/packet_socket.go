package fd

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// PacketSocket is the record of a socket of the family AF_PACKET (packet(7)). Packets that wait in it are lost, as a network may lose
// them.
type PacketSocket struct {
	Type         int                `json:"type"`                // SOCK_RAW, SOCK_DGRAM
	Protocol     uint16             `json:"protocol,omitempty"`  // ETH_P_ALL, …; 0: it receives nothing
	Interface    string             `json:"interface,omitempty"` // "": all interfaces
	Groups       []PacketGroup      `json:"groups,omitempty"`
	CopyMost     uint32             `json:"copy_most,omitempty"` // PACKET_COPY_THRESH
	Options      map[string][]int32 `json:"options,omitempty"`
	Filter       SocketFilter       `json:"filter,omitempty"`
	FilterLocked bool               `json:"filter_locked,omitempty"` // SO_LOCK_FILTER
}

// A PacketGroup is a membership of a packet socket (PACKET_ADD_MEMBERSHIP).
type PacketGroup struct {
	Interface string `json:"interface"`
	Type      uint16 `json:"type"`              // PACKET_MR_MULTICAST, PACKET_MR_PROMISC, …
	Address   string `json:"address,omitempty"` // in hexadecimal digits
	Count     uint32 `json:"count"`             // how often the socket has joined
}

// packetOptions are options whose value is 0 in a new socket.
var packetOptions = optionTable{
	"no_fcs":                 {unix.SOL_SOCKET, unix.SO_NOFCS, 1, false, 0},
	"wifi_status":            {unix.SOL_SOCKET, unix.SO_WIFI_STATUS, 1, false, 0},
	"packet_auxdata":         {unix.SOL_PACKET, unix.PACKET_AUXDATA, 1, false, 0},
	"packet_origdev":         {unix.SOL_PACKET, unix.PACKET_ORIGDEV, 1, false, 0},
	"packet_vnet_hdr":        {unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1, false, 0},
	"packet_version":         {unix.SOL_PACKET, unix.PACKET_VERSION, 1, false, 0},
	"packet_reserve":         {unix.SOL_PACKET, unix.PACKET_RESERVE, 1, false, 0},
	"packet_loss":            {unix.SOL_PACKET, unix.PACKET_LOSS, 1, false, 0},
	"packet_timestamp":       {unix.SOL_PACKET, unix.PACKET_TIMESTAMP, 1, false, 0},
	"packet_ignore_outgoing": {unix.SOL_PACKET, packetIgnoreOutgoing, 1, false, 0},
	"packet_qdisc_bypass":    {unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1, false, 0},
}

// Numbers of linux/if_packet.h and linux/packet_diag.h.
const (
	packetIgnoreOutgoing = 23

	packetShowAll = 1 | 2 | 4 | 8 // information, groups, rings, fanout

	packetInfo, packetGroups, packetReceiveRing, packetSendRing, packetFanout = 0, 1, 2, 3, 4

	packetGroupSize = 44 // struct packet_diag_mclist
	packetGroupMost = 1024
)

var packetSocketKind = kind{
	name: "packet_socket",
	is:   func(o *open) bool { return o.protocol == "PACKET" },
	capture: func(c *capture, o *open) (any, error) {
		if err := c.private(o, socketName(o)); err != nil {
			return nil, err
		}
		r := new(PacketSocket)
		if why := unreadable(o); why != nil || o.member.Calls == nil {
			return r, why
		}
		if err := r.look(c, o); err != nil {
			return nil, socketObstacle(o, err.Error(), closeIt)
		}
		return r, nil
	},
	describe: func(d image.Description) string {
		r, err := packetRecord(d)
		if err != nil || r.Interface == "" {
			return "packet socket"
		}
		return "packet socket on " + r.Interface
	},
	check: func(d image.Description, _ *Env) obstacle.List {
		r, err := packetRecord(d)
		if err != nil {
			return broken(err)
		}
		f, err := r.make(&Env{})
		if err == nil {
			f.Close()
			return nil
		}
		why := obstacle.Obstacle{What: "packet socket", Detail: r.Interface, Why: err.Error(), Do: "restart where there is such a network interface"}
		if errors.Is(err, unix.EPERM) {
			why.Do = "restart as a user who may do that: packet sockets need CAP_NET_RAW"
		}
		return obstacle.List{why}
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		r, err := packetRecord(d)
		if err != nil {
			return nil, err
		}
		return r.make(env)
	},
}

func packetRecord(d image.Description) (PacketSocket, error) {
	r, err := record[PacketSocket](d)
	if err != nil {
		return r, err
	}
	if r.Type != unix.SOCK_RAW && r.Type != unix.SOCK_DGRAM || len(r.Interface) >= unix.IFNAMSIZ || len(r.Groups) > packetGroupMost {
		return r, fmt.Errorf("type %d, interface %.20q, %d groups: not a packet socket", r.Type, r.Interface, len(r.Groups))
	}
	for _, g := range r.Groups {
		if address, err := hex.DecodeString(g.Address); err != nil || len(address) > 32 || len(g.Interface) >= unix.IFNAMSIZ || g.Count == 0 || g.Count > packetGroupMost {
			return r, fmt.Errorf("packet group %.20q of %.20q", g.Address, g.Interface)
		}
	}
	return r, errors.Join(checkOptions(r.Options, socketOptions, packetOptions), r.Filter.check())
}

// look reads the state of a socket through a handle.
func (r *PacketSocket) look(c *capture, o *open) (err error) {
	socket := o.handle.fd
	if r.Type, err = unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return os.NewSyscallError("SO_TYPE", err)
	}
	if r.Type == unix.SOCK_PACKET {
		return errors.New("it is of the type SOCK_PACKET, which is obsolete")
	}
	own, err := ownAddress(socket) // struct sockaddr_ll
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	r.Protocol = binary.BigEndian.Uint16(own.bytes[2:])
	if index := binary.NativeEndian.Uint32(own.bytes[4:]); index != 0 {
		r.Interface = interfaceName(index)
	}
	if events, err := eventsOf(socket, 0); err != nil || events&unix.POLLERR != 0 {
		return passing("it has an error that the program has not seen yet: its network interface is down or gone")
	}
	if err := r.diagnose(uint32(o.stat.Ino)); err != nil {
		return err
	}
	if r.Filter, err = filterOf(socket); err != nil {
		return err
	}
	if r.FilterLocked, err = isLocked(socket); err != nil {
		return err
	}
	usual, err := c.usual("packet", func() (*os.File, error) { // of AF_UNIX, because the program may not have CAP_NET_RAW any more
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return os.NewFile(uintptr(fd), "socket"), err
	}, socketOptions)
	if err != nil {
		return err
	}
	r.Options = usual.changed(socket)
	for name, option := range packetOptions {
		if value := option.get(socket); value != nil && value[0] != 0 {
			r.Options[name] = value
		}
	}
	return nil
}
