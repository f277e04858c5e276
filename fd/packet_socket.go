package fd

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// PacketSocket is the record of a socket of the family AF_PACKET (packet(7)). Packets that wait in it are lost, as a network may lose
// them.
type PacketSocket struct {
	Type      int                `json:"type"`                // SOCK_RAW, SOCK_DGRAM
	Protocol  uint16             `json:"protocol,omitempty"`  // ETH_P_ALL, …; 0: it receives nothing
	Interface string             `json:"interface,omitempty"` // "": all interfaces
	Groups    []PacketGroup      `json:"groups,omitempty"`
	CopyMost  uint32             `json:"copy_most,omitempty"` // PACKET_COPY_THRESH
	Options   map[string][]int32 `json:"options,omitempty"`
	Filter    SocketFilter       `json:"filter,omitempty"`
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
	usual, err := c.usual("packet", func() (*os.File, error) { // of AF_UNIX, because the program may not have CAP_NET_RAW any more
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return os.NewFile(uintptr(fd), "socket"), err
	}, socketOptions)
	if err != nil {
		return err
	}
	r.Options = usual.changed(socket, socketOptions)
	for name, option := range packetOptions {
		if value := option.get(socket); value != nil && value[0] != 0 {
			r.Options[name] = value
		}
	}
	return nil
}

// diagnose asks sock_diag(7) about the state that getsockopt(2) does not show. Any user may ask.
func (r *PacketSocket) diagnose(inode uint32) error {
	c, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	defer c.Close()
	request := make([]byte, 20) // struct packet_diag_req
	request[0] = unix.AF_PACKET
	binary.NativeEndian.PutUint32(request[8:], packetShowAll)
	answers, err := c.Execute(netlink.Message{Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump}, Data: request})
	if err != nil {
		return fmt.Errorf("sock_diag: packet sockets: %w", err)
	}
	for _, m := range answers {
		if len(m.Data) >= 16 && binary.NativeEndian.Uint32(m.Data[4:]) == inode { // struct packet_diag_msg
			return r.attributes(m.Data[16:])
		}
	}
	return errors.New("sock_diag does not list it: it is of another network namespace")
}

func (r *PacketSocket) attributes(data []byte) error {
	d, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	for d.Next() {
		b := d.Bytes()
		switch d.Type() {
		case packetInfo:
			if len(b) >= 16 {
				r.CopyMost = binary.NativeEndian.Uint32(b[12:])
			}
		case packetGroups:
			for ; len(b) >= packetGroupSize; b = b[packetGroupSize:] {
				length := min(binary.NativeEndian.Uint16(b[10:]), 32)
				r.Groups = append(r.Groups, PacketGroup{
					Interface: interfaceName(binary.NativeEndian.Uint32(b)),
					Count:     binary.NativeEndian.Uint32(b[4:]),
					Type:      binary.NativeEndian.Uint16(b[8:]),
					Address:   hex.EncodeToString(b[12 : 12+length]),
				})
			}
		case packetReceiveRing:
			return errors.New("it has a ring of packets in memory (PACKET_RX_RING)")
		case packetSendRing:
			return errors.New("it has a ring of packets in memory (PACKET_TX_RING)")
		case packetFanout:
			return errors.New("it shares packets with other sockets (PACKET_FANOUT)")
		}
	}
	return d.Err()
}

func (r *PacketSocket) make(env *Env) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, r.Type|unix.SOCK_CLOEXEC, 0) // receives nothing until bind
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	if err := r.set(fd, env); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (r *PacketSocket) set(socket int, env *Env) error {
	if err := setOptions(socket, r.Options, env, socketOptions, packetOptions); err != nil {
		return err
	}
	if r.CopyMost != 0 {
		if err := unix.SetsockoptInt(socket, unix.SOL_PACKET, unix.PACKET_COPY_THRESH, int(r.CopyMost)); err != nil {
			return os.NewSyscallError("PACKET_COPY_THRESH", err)
		}
	}
	if len(r.Filter) > 0 {
		if err := r.Filter.attach(socket); err != nil {
			return os.NewSyscallError("SO_ATTACH_FILTER", err)
		}
	}
	index, err := packetInterface(r.Interface)
	if err != nil {
		return err
	}
	if r.Protocol != 0 || index != 0 {
		var a sockaddr // struct sockaddr_ll
		binary.NativeEndian.PutUint16(a.bytes[:], unix.AF_PACKET)
		binary.BigEndian.PutUint16(a.bytes[2:], r.Protocol)
		binary.NativeEndian.PutUint32(a.bytes[4:], uint32(index))
		a.length = unix.SizeofSockaddrLinklayer
		if err := a.bind(socket); err != nil {
			return fmt.Errorf("bind to network interface %q: %w", r.Interface, err)
		}
	}
	for _, g := range r.Groups {
		if err := g.join(socket); err != nil {
			return fmt.Errorf("group of network interface %q: %w", g.Interface, err)
		}
	}
	return nil
}

func packetInterface(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	return interfaceIndex(name)
}

func (g *PacketGroup) join(socket int) error {
	address, err := hex.DecodeString(g.Address)
	if err != nil {
		return err
	}
	index, err := packetInterface(g.Interface)
	if err != nil {
		return err
	}
	request := make([]byte, 8+max(len(address), 8)) // struct packet_mreq, or packet_mreq_max
	binary.NativeEndian.PutUint32(request, uint32(index))
	binary.NativeEndian.PutUint16(request[4:], g.Type)
	binary.NativeEndian.PutUint16(request[6:], uint16(len(address)))
	copy(request[8:], address)
	for range g.Count {
		if err := setBytes(socket, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, request); err != nil {
			return os.NewSyscallError("PACKET_ADD_MEMBERSHIP", err)
		}
	}
	return nil
}
