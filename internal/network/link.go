package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Link joins a private network namespace with the one in which crak runs, by a pair of veth(4) interfaces. The program's interface is
// eth0. The name of the other one is crak with a number.
type Link struct {
	Own  netip.Prefix // address of the program's interface
	Peer netip.Addr   // address of the other interface, which is the program's gateway
}

// ParseLink parses the text that String returns: "10.9.0.2/24,10.9.0.1".
func ParseLink(text string) (*Link, error) {
	own, peer, both := strings.Cut(text, ",")
	if !both {
		return nil, fmt.Errorf("link %.100q: not ADDRESS/LENGTH,ADDRESS", text)
	}
	l := new(Link)
	var err, err2 error
	l.Own, err = netip.ParsePrefix(own)
	l.Peer, err2 = netip.ParseAddr(peer)
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("link %.100q: %w", text, err)
	}
	if l.Peer.Zone() != "" || !l.Own.Masked().Contains(l.Peer) || l.Own.Addr() == l.Peer {
		return nil, fmt.Errorf("link %.100q: the second address must be another one of the same network", text)
	}
	return l, nil
}

func (l *Link) String() string { return fmt.Sprint(l.Own, ",", l.Peer) }

// eth0 is the program's interface.
const eth0 = "eth0"

// Numbers of linux/veth.h.
const vethInfoPeer = 1

// make makes the link. The caller is in the private namespace; outside is the other one.
func (l *Link) make(outside *os.File) error {
	here, err := openRoute(nil)
	if err != nil {
		return err
	}
	defer here.close()
	there, err := openRoute(outside)
	if err != nil {
		return err
	}
	defer there.close()
	own, peer, err := here.addPair(outside)
	if err != nil {
		return fmt.Errorf("veth interfaces: %w", err)
	}
	if err := there.begin(peer, netip.PrefixFrom(l.Peer, l.Own.Bits())); err != nil {
		return err
	}
	if err := here.begin(own, l.Own); err != nil {
		return err
	}
	return here.addGateway(own, l.Peer)
}

// RemoveLink removes the link of this private namespace. When a namespace ends, the kernel removes its packet filter before its
// interfaces. Peers whose packets arrive in between would get a reset.
func RemoveLink() error {
	r, err := openRoute(nil)
	if err != nil {
		return err
	}
	defer r.close()
	return r.change(unix.RTM_DELLINK, 0, infomsg(0, false), attributeString(unix.IFLA_IFNAME, eth0))
}

// addPair makes a pair of interfaces: eth0 here, and the other one in another namespace. It returns the index of each in its namespace.
func (r route) addPair(outside *os.File) (own, peer uint32, err error) {
	other := attribute(vethInfoPeer, infomsg(0, false), attributeString(unix.IFLA_IFNAME, "crak%d"), attributeNumber(unix.IFLA_NET_NS_FD, uint32(outside.Fd())))
	err = r.change(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, infomsg(0, false), attributeString(unix.IFLA_IFNAME, eth0),
		attribute(unix.IFLA_LINKINFO, attributeString(unix.IFLA_INFO_KIND, "veth"), attribute(unix.IFLA_INFO_DATA, other)))
	if err != nil {
		return 0, 0, err
	}
	answer, err := r.ask(unix.RTM_GETLINK, 0, infomsg(0, false), attributeString(unix.IFLA_IFNAME, eth0))
	if err != nil {
		return 0, 0, err
	}
	if len(answer) < unix.SizeofIfInfomsg {
		return 0, 0, errors.New("rtnetlink: a short answer")
	}
	own = binary.NativeEndian.Uint32(answer[4:])
	attributes, err := syscall.ParseNetlinkRouteAttr(&syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWLINK}, Data: answer})
	for _, a := range attributes {
		if a.Attr.Type == unix.IFLA_LINK && len(a.Value) == 4 {
			peer = binary.NativeEndian.Uint32(a.Value)
		}
	}
	return own, peer, err
}

// begin gives an interface its address, and sets it up.
func (r route) begin(index uint32, address netip.Prefix) error {
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0], body[1], body[2] = familyOf(address.Addr()), byte(address.Bits()), unix.IFA_F_NODAD
	binary.NativeEndian.PutUint32(body[4:], index)
	bytes := address.Addr().AsSlice()
	err := r.change(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body, attribute(unix.IFA_LOCAL, bytes), attribute(unix.IFA_ADDRESS, bytes))
	if err == nil {
		err = r.change(unix.RTM_NEWLINK, 0, infomsg(index, true))
	}
	if err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	return nil
}

// addGateway makes the default route.
func (r route) addGateway(index uint32, gateway netip.Addr) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[4], body[5], body[7] = familyOf(gateway), unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RTN_UNICAST
	err := r.change(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body, attribute(unix.RTA_GATEWAY, gateway.AsSlice()), attributeNumber(unix.RTA_OIF, index))
	if err != nil {
		return fmt.Errorf("route by %s: %w", gateway, err)
	}
	return nil
}

func familyOf(a netip.Addr) byte {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
