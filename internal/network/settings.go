package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// Settings reads the addresses and routes of the network namespace in which this process is, as far as a restart can make them again. The
// error is an obstacle if there is something else: other interfaces, other tables of routes, or other kinds of routes.
func Settings() (*image.NetworkSettings, error) {
	s := new(image.NetworkSettings)
	names, err := interfaces()
	if err != nil {
		return nil, err
	}
	err = each(unix.RTM_GETADDR, unix.RTM_NEWADDR, unix.SizeofIfAddrmsg, func(body []byte, values map[uint16][]byte) error {
		a, err := addressOf(names, body, values)
		if err == nil && !isOfKernel(a) {
			s.Addresses = append(s.Addresses, a)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, each(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, unix.SizeofRtMsg, func(body []byte, values map[uint16][]byte) error {
		table, protocol, cloned := body[4], body[5], binary.NativeEndian.Uint32(body[8:])&unix.RTM_F_CLONED != 0
		if table == unix.RT_TABLE_LOCAL || protocol == unix.RTPROT_KERNEL || protocol == unix.RTPROT_RA || cloned {
			return nil // the kernel makes it with the address
		}
		r, err := routeOf(names, body, values)
		s.Routes = append(s.Routes, r)
		return err
	})
}

// interfaces are the names of all interfaces, by index. Interfaces that are down do not count: with some modules the kernel makes tunl0 and
// others in each new namespace.
func interfaces() (map[uint32]string, error) {
	names := make(map[uint32]string)
	return names, each(unix.RTM_GETLINK, unix.RTM_NEWLINK, unix.SizeofIfInfomsg, func(body []byte, values map[uint16][]byte) error {
		index, up := binary.NativeEndian.Uint32(body[4:]), binary.NativeEndian.Uint32(body[8:])&unix.IFF_UP != 0
		name := unix.ByteSliceToString(values[unix.IFLA_IFNAME])
		names[index] = name
		if name != eth0 && name != loopbackName && up {
			return unusual(fmt.Sprintf("interface %.20q", name), "remove it before the checkpoint: ip link delete")
		}
		return nil
	})
}

const loopbackName = "lo"

// unusual is the obstacle of something that a restart does not make.
func unusual(what, do string) error {
	return obstacle.Obstacle{What: what + " in its network namespace", Why: "a restart does not make it again", Do: do}
}

// each calls a function for each message of a dump. A message has a struct of some size, and attributes.
func each(request int, kind uint16, size int, do func(body []byte, values map[uint16][]byte) error) error {
	data, err := syscall.NetlinkRIB(request, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("rtnetlink: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(data)
	if err != nil {
		return fmt.Errorf("rtnetlink: %w", err)
	}
	for _, m := range messages {
		if m.Header.Type != kind || len(m.Data) < size {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return fmt.Errorf("rtnetlink: %w", err)
		}
		values := make(map[uint16][]byte)
		for _, a := range attributes {
			values[a.Attr.Type] = a.Value
		}
		if err := do(m.Data[:size], values); err != nil {
			return err
		}
	}
	return nil
}

func addressOf(names map[uint32]string, body []byte, values map[uint16][]byte) (a image.NetworkAddress, err error) {
	a = image.NetworkAddress{Interface: names[binary.NativeEndian.Uint32(body[4:])], Scope: body[3]}
	address, hasAddress := netip.AddrFromSlice(values[unix.IFA_ADDRESS])
	own, hasLocal := netip.AddrFromSlice(values[unix.IFA_LOCAL])
	switch {
	case !hasLocal:
		own = address
	case hasAddress && own != address:
		a.Peer = address
	}
	if a.Interface != loopbackName && a.Interface != eth0 {
		return a, unusual(fmt.Sprintf("interface %.20q", a.Interface), "remove it before the checkpoint: ip link delete")
	}
	if a.Address = netip.PrefixFrom(own, int(body[1])); !a.Address.IsValid() {
		err = fmt.Errorf("rtnetlink: an address %s of interface %q", a.Address, a.Interface)
	}
	return a, err
}

// isOfKernel tells whether the kernel makes an address itself when an interface comes up.
func isOfKernel(a image.NetworkAddress) bool {
	return a.Address.Addr().Is6() && a.Address.Addr().IsLinkLocalUnicast()
}

func routeOf(names map[uint32]string, body []byte, values map[uint16][]byte) (r image.NetworkRoute, err error) {
	number := func(kind uint16) uint32 {
		if b := values[kind]; len(b) == 4 {
			return binary.NativeEndian.Uint32(b)
		}
		return 0
	}
	r = image.NetworkRoute{Interface: names[number(unix.RTA_OIF)], Priority: number(unix.RTA_PRIORITY), Protocol: body[5], Scope: body[6],
		OnLink: binary.NativeEndian.Uint32(body[8:])&unix.RTNH_F_ONLINK != 0}
	to := netip.IPv4Unspecified()
	if body[0] == unix.AF_INET6 {
		to = netip.IPv6Unspecified()
	}
	if b := values[unix.RTA_DST]; b != nil {
		to, _ = netip.AddrFromSlice(b)
	}
	r.To = netip.PrefixFrom(to, int(body[1]))
	r.Gateway, _ = netip.AddrFromSlice(values[unix.RTA_GATEWAY])
	r.Source, _ = netip.AddrFromSlice(values[unix.RTA_PREFSRC])
	known := []uint16{unix.RTA_DST, unix.RTA_OIF, unix.RTA_GATEWAY, unix.RTA_PREFSRC, unix.RTA_PRIORITY, unix.RTA_TABLE, unix.RTA_CACHEINFO, unix.RTA_PREF}
	for kind := range values {
		if !slices.Contains(known, kind) {
			return r, unusual(fmt.Sprintf("route to %s, with attribute %d of rtnetlink(7),", r.To, kind), "remove it before the checkpoint: ip route delete")
		}
	}
	switch {
	case number(unix.RTA_TABLE) != unix.RT_TABLE_MAIN || body[7] != unix.RTN_UNICAST || body[2] != 0 || body[3] != 0:
		err = unusual(fmt.Sprintf("route to %s, of table %d, type %d, type of service %d,", r.To, number(unix.RTA_TABLE), body[7], body[3]),
			"remove it before the checkpoint: ip route delete")
	case r.Interface != loopbackName && r.Interface != eth0 || !r.To.IsValid():
		err = fmt.Errorf("rtnetlink: a route to %s by interface %q", r.To, r.Interface)
	}
	return r, err
}

// Set gives the network namespace in which this process is these addresses and routes, and no others.
func Set(want *image.NetworkSettings) error {
	have, err := Settings()
	if err != nil {
		return err
	}
	r, err := openRoute(nil)
	if err != nil {
		return err
	}
	defer r.close()
	for _, a := range have.Addresses {
		if !slices.Contains(want.Addresses, a) {
			if err := r.setAddress(unix.RTM_DELADDR, 0, a); err != nil {
				return err
			}
		}
	}
	for _, a := range want.Addresses {
		if !slices.Contains(have.Addresses, a) {
			if err := r.setAddress(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, a); err != nil {
				return err
			}
		}
	}
	if have, err = Settings(); err != nil { // an address takes its routes along
		return err
	}
	for _, one := range have.Routes {
		if !slices.Contains(want.Routes, one) {
			if err := r.setRoute(unix.RTM_DELROUTE, 0, one); err != nil {
				return err
			}
		}
	}
	missing := slices.DeleteFunc(slices.Clone(want.Routes), func(one image.NetworkRoute) bool { return slices.Contains(have.Routes, one) })
	// A gateway must be reached by another route, which may come later in the list.
	slices.SortStableFunc(missing, func(a, b image.NetworkRoute) int {
		return boolAsInt(a.Gateway.IsValid()) - boolAsInt(b.Gateway.IsValid())
	})
	for _, one := range missing {
		if err := r.setRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, one); err != nil {
			return err
		}
	}
	return nil
}

func boolAsInt(is bool) int {
	if is {
		return 1
	}
	return 0
}

// setAddress adds or deletes an address.
func (r route) setAddress(kind, flags uint16, a image.NetworkAddress) error {
	index, err := indexOf(a.Interface)
	if err != nil {
		return err
	}
	own := a.Address.Addr()
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0], body[1], body[2], body[3] = familyOf(own), byte(a.Address.Bits()), unix.IFA_F_NODAD, a.Scope
	binary.NativeEndian.PutUint32(body[4:], index)
	peer := own
	if a.Peer.IsValid() {
		peer = a.Peer
	}
	if err := r.change(kind, flags, body, attribute(unix.IFA_LOCAL, own.AsSlice()), attribute(unix.IFA_ADDRESS, peer.AsSlice())); err != nil {
		return fmt.Errorf("address %s of %.20q: %w", a.Address, a.Interface, err)
	}
	return nil
}

// setRoute adds or deletes a route.
func (r route) setRoute(kind, flags uint16, one image.NetworkRoute) error {
	index, err := indexOf(one.Interface)
	if err != nil {
		return err
	}
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[1] = familyOf(one.To.Addr()), byte(one.To.Bits())
	body[4], body[5], body[6], body[7] = unix.RT_TABLE_MAIN, one.Protocol, one.Scope, unix.RTN_UNICAST
	if one.OnLink {
		binary.NativeEndian.PutUint32(body[8:], unix.RTNH_F_ONLINK)
	}
	attributes := [][]byte{attribute(unix.RTA_DST, one.To.Addr().AsSlice()), attributeNumber(unix.RTA_OIF, index)}
	if one.Gateway.IsValid() {
		attributes = append(attributes, attribute(unix.RTA_GATEWAY, one.Gateway.AsSlice()))
	}
	if one.Source.IsValid() {
		attributes = append(attributes, attribute(unix.RTA_PREFSRC, one.Source.AsSlice()))
	}
	if one.Priority != 0 {
		attributes = append(attributes, attributeNumber(unix.RTA_PRIORITY, one.Priority))
	}
	if err := r.change(kind, flags, body, attributes...); err != nil {
		return fmt.Errorf("route to %s by %.20q: %w", one.To, one.Interface, err)
	}
	return nil
}

// indexOf is the index of one of the two interfaces that a restart makes.
func indexOf(name string) (uint32, error) {
	names, err := interfaces()
	if err != nil {
		return 0, err
	}
	for index, one := range names {
		if one == name && (name == loopbackName || name == eth0) {
			return index, nil
		}
	}
	return 0, fmt.Errorf("there is no interface %.20q", name)
}
