package fd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// InetSocket is the record of a socket of UDP, UDP-Lite or ICMP, or a raw socket, of IPv4 or IPv6. The datagrams in its receive
// queue are its content.
type InetSocket struct {
	Family   int `json:"family"`   // AF_INET, AF_INET6
	Type     int `json:"type"`     // SOCK_DGRAM, SOCK_RAW
	Protocol int `json:"protocol"` // IPPROTO_*

	Local    netip.AddrPort `json:"local,omitzero"`     // of bind(2), or chosen by the kernel; the port of a raw socket is 0
	Peer     netip.AddrPort `json:"peer,omitzero"`      // of connect(2)
	Device   string         `json:"device,omitempty"`   // SO_BINDTODEVICE
	Shutdown bool           `json:"shutdown,omitempty"` // shutdown(2) for receiving; with SO_ERROR
	Silent   bool           `json:"silent,omitempty"`   // shutdown(2) for sending
	Refused  bool           `json:"refused,omitempty"`  // ECONNREFUSED waits for the next system call

	Messages     []Datagram         `json:"messages,omitempty"`
	Options      map[string][]int32 `json:"options,omitempty"`
	Interfaces   map[string]string  `json:"interfaces,omitempty"` // options whose value is a network interface
	Groups       []MulticastGroup   `json:"groups,omitempty"`
	Filter       SocketFilter       `json:"filter,omitempty"`
	FilterLocked bool               `json:"filter_locked,omitempty"`
}

// inetProtocols are the protocols of these sockets, by the kernel's names (open.protocol).
var inetProtocols = map[string]bool{
	"UDP": true, "UDPv6": true, "UDP-Lite": true, "UDPLITEv6": true, "PING": true, "PINGv6": true, "RAW": true, "RAWv6": true,
}

var inetSocketKind = kind{
	name: "inet_socket",
	is:   func(o *open) bool { return inetProtocols[o.protocol] },
	capture: func(c *capture, o *open) (any, error) {
		if err := c.private(o, socketName(o)); err != nil {
			return nil, err
		}
		var err error
		c.object, err = c.objectOf(o, &inetObjects, func() (any, []byte, error) { return lookAtInet(c, o) })
		return nil, err
	},
	describe: func(d image.Description) string { return fmt.Sprintf("Internet socket %d", d.Object) },
	check: func(d image.Description, env *Env) obstacle.List {
		o, err := env.known(d.Object, &inetObjects)
		if err != nil {
			return broken(err)
		}
		r, _ := inetRecord(o)
		return r.canMake(env)
	},
	create: func(d image.Description, env *Env) (*os.File, error) {
		m, err := object[*madeInet](d.Object, &inetObjects, env)
		if err != nil {
			return nil, err
		}
		return duplicate(m.file)
	},
}

func lookAtInet(c *capture, o *open) (any, []byte, error) {
	r := new(InetSocket)
	if why := unreadable(o); why != nil || o.member.Calls == nil { // a plan has no handles
		return r, nil, why
	}
	content, err := r.look(c, o.handle.fd)
	if err != nil {
		why := socketObstacle(o, err.Error(), closeIt)
		if why.Passes = passes(err); why.Passes {
			why.Do = "try again a moment later; " + closeIt
		}
		return nil, nil, why
	}
	return r, content, nil
}

// unreadable is the obstacle if there is no handle that could read the state of a frozen program's socket.
func unreadable(o *open) error {
	if o.member.Calls == nil || o.handle.asks() {
		return nil
	}
	return socketObstacle(o, "the kernel refuses pidfd_getfd(2), so CRAK cannot read its state",
		"allow pidfd_getfd(2): for docker with --cap-add SYS_PTRACE")
}

func socketObstacle(o *open, why, do string) obstacle.Obstacle {
	return obstacle.Obstacle{What: socketName(o), Detail: o.link, Why: why, Do: do, Option: leaveOut(o.fd)}
}

// look reads the state of a socket through a handle.
func (r *InetSocket) look(c *capture, socket int) (content []byte, err error) {
	for option, value := range map[int]*int{unix.SO_DOMAIN: &r.Family, unix.SO_TYPE: &r.Type, unix.SO_PROTOCOL: &r.Protocol} {
		if *value, err = unix.GetsockoptInt(socket, unix.SOL_SOCKET, option); err != nil {
			return nil, os.NewSyscallError("getsockopt", err)
		}
	}
	if err := r.unknownState(socket); err != nil {
		return nil, err
	}
	if err := r.addresses(socket); err != nil {
		return nil, err
	}
	if err := r.options(c, socket); err != nil {
		return nil, err
	}
	if r.Groups, err = multicastGroups(socket, r.Family); err != nil {
		return nil, err
	}
	events, err := eventsOf(socket, unix.POLLIN|unix.POLLRDHUP)
	if err != nil {
		return nil, os.NewSyscallError("poll", err)
	}
	r.Shutdown = events&unix.POLLRDHUP != 0
	r.Silent = events&unix.POLLHUP != 0 || c.endedSending(uint8(r.Protocol), socket)
	if events&unix.POLLERR != 0 {
		return nil, r.pendingError(socket)
	}
	if events&unix.POLLIN != 0 {
		content, r.Messages, err = peekDatagrams(socket)
	}
	return content, err
}

// pendingError finds out which error waits for the program. To read the error would take it from the program. A UDP socket without
// an error queue gets no other error than ECONNREFUSED, which says that the peer has no socket at its port.
func (r *InetSocket) pendingError(socket int) error {
	memory, err := memoryInfo(socket)
	collects := r.Options["ip_recverr"] != nil || r.Options["ipv6_recverr"] != nil
	if err != nil || memory.received > 0 || collects || !r.Peer.IsValid() || r.Type != unix.SOCK_DGRAM {
		return passing("it has an error that the program has not seen yet")
	}
	r.Refused = true
	return nil
}

// sendTime is how long packets may take to leave through a network interface.
const sendTime = 50 * time.Millisecond

// unknownState refuses a socket with state that the kernel does not show.
func (r *InetSocket) unknownState(socket int) error {
	for end := time.Now().Add(sendTime); ; time.Sleep(time.Millisecond) { // no event tells that the send queue is empty
		memory, err := memoryInfo(socket)
		if err != nil {
			return err
		}
		if memory.sent == 0 {
			break
		}
		if time.Now().After(end) {
			return passing("it has a datagram that is not complete (UDP_CORK, MSG_MORE), or that has not been sent")
		}
	}
	if r.Protocol == unix.IPPROTO_UDP && r.Type == unix.SOCK_DGRAM {
		if encapsulates, err := unix.GetsockoptInt(socket, unix.SOL_UDP, unix.UDP_ENCAP); err == nil && encapsulates != 0 {
			return fmt.Errorf("it is an end of a tunnel (UDP_ENCAP)")
		}
	}
	return nil
}

func (r *InetSocket) addresses(socket int) error {
	own, err := ownAddress(socket)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	r.Local = own.inet()
	if r.Type == unix.SOCK_RAW {
		r.Local = netip.AddrPortFrom(r.Local.Addr(), 0) // it was the protocol
	}
	if r.Local.Addr().IsUnspecified() && r.Local.Port() == 0 {
		r.Local = netip.AddrPort{}
	}
	switch peer, err := peerAddress(socket); err {
	case nil:
		r.Peer = peer.inet()
	case unix.ENOTCONN:
		if r.Peer, err = r.portlessPeer(socket); err != nil {
			return err
		}
	default:
		return os.NewSyscallError("getpeername", err)
	}
	r.Device, err = unix.GetsockoptString(socket, unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
	return os.NewSyscallError("SO_BINDTODEVICE", err)
}

func (r *InetSocket) options(c *capture, socket int) error {
	usual, err := c.usual(fmt.Sprint("IP ", r.Family, r.Type, r.Protocol), r.open, r.tables()...)
	if err != nil {
		return err
	}
	r.Options = usual.changed(socket)
	if r.Options["ip_tos"] != nil { // setting it changes the priority
		r.Options["priority"] = socketOptions["priority"].get(socket)
	}
	r.Interfaces = make(map[string]string)
	for name, option := range indexOptions {
		if index := option.get(socket); index != 0 {
			r.Interfaces[name] = interfaceName(index)
		}
	}
	if err := noIPOptions(r.Family, socket); err != nil {
		return err
	}
	if r.Filter, err = filterOf(socket); err != nil {
		return err
	}
	r.FilterLocked, err = isLocked(socket)
	return err
}

// noIPOptions refuses a socket that adds options to the headers of its packets. A socket of IPv6 may send packets of IPv4.
func noIPOptions(family, socket int) error {
	var text [2048]byte
	if n, err := getBytes(socket, unix.SOL_IP, unix.IP_OPTIONS, text[:]); err == nil && n > 0 {
		return errors.New("it sends IP options (IP_OPTIONS)")
	}
	if family != unix.AF_INET6 {
		return nil
	}
	for _, header := range []int{unix.IPV6_HOPOPTS, unix.IPV6_RTHDRDSTOPTS, unix.IPV6_RTHDR, unix.IPV6_DSTOPTS} {
		if n, err := getBytes(socket, unix.SOL_IPV6, header, text[:]); err == nil && n > 0 {
			return errors.New("it sends extension headers of IPv6 (ipv6(7), IPV6_HOPOPTS and others)")
		}
	}
	return nil
}

func (r *InetSocket) tables() []optionTable {
	return []optionTable{bindOptions, socketOptions, inetOptions, datagramOptions}
}

// open makes a new socket.
func (r *InetSocket) open() (*os.File, error) {
	fd, err := unix.Socket(r.Family, r.Type|unix.SOCK_CLOEXEC, r.Protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}
