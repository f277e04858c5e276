package fd

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"crak.dev/crak/image"
)

// An AddressChange says that a machine has the address New where the machine of the image had Old.
type AddressChange struct {
	Old netip.Addr `json:"old"`
	New netip.Addr `json:"new"`
}

// AddressChanges are the choices of the user. Each is a flag on the command line: "10.0.0.1=10.0.0.2".
type AddressChanges []AddressChange

// Set adds a choice.
func (a *AddressChanges) Set(text string) error {
	before, after, _ := strings.Cut(text, "=")
	from, errOld := netip.ParseAddr(before)
	to, errNew := netip.ParseAddr(after)
	one := AddressChange{from.Unmap(), to.Unmap()}
	switch {
	case errOld != nil || errNew != nil:
		return fmt.Errorf("%q is not OLD=NEW with two IP addresses", text)
	case one.Old.Is4() != one.New.Is4():
		return fmt.Errorf("%s is of another family than %s: a socket keeps its family", one.New, one.Old)
	}
	for _, ip := range []netip.Addr{one.Old, one.New} {
		if ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("%s is not the address of one machine", ip)
		}
	}
	for _, other := range *a {
		if other.Old == one.Old {
			return fmt.Errorf("%s is replaced twice, by %s and by %s", one.Old, other.New, one.New)
		}
	}
	*a = append(*a, one)
	return nil
}

func (a *AddressChanges) String() string {
	var all []string
	for _, one := range *a {
		all = append(all, one.Old.String()+"="+one.New.String())
	}
	return strings.Join(all, ",")
}

// Type is what the help calls the value.
func (a *AddressChanges) Type() string { return "OLD=NEW" }

// replace applies the choices to an address. An IPv4-mapped address stays one. A zone, the interface of a link-local address, goes with
// the choice: an OLD without a zone is for every interface, and a NEW without one leaves the interface as it is.
func (a AddressChanges) replace(ip *netip.Addr) {
	plain := ip.Unmap()
	for _, one := range a {
		if one.Old != plain && one.Old != plain.WithZone("") {
			continue
		}
		to := one.New
		if to.Is6() && to.Zone() == "" {
			to = to.WithZone(ip.Zone())
		}
		if ip.Is4In6() {
			to = netip.AddrFrom16(to.As16())
		}
		*ip = to
		return
	}
}

func (a AddressChanges) endpoint(at *netip.AddrPort) {
	if at == nil || !at.IsValid() {
		return
	}
	ip := at.Addr()
	a.replace(&ip)
	*at = netip.AddrPortFrom(ip, at.Port())
}

// Apply changes the addresses of all sockets of a group, and the senders of the datagrams that wait in them. It does not change what the
// program has in its memory.
func (a AddressChanges) Apply(g *image.Group) error {
	if len(a) == 0 {
		return nil
	}
	for i := range g.Objects {
		o := &g.Objects[i]
		k, err := objectKindNamed(o.Kind)
		if err != nil || k.addresses == nil {
			continue // the check of the image refuses a kind that is not known
		}
		if err := k.addresses(&o.Record, a); err != nil {
			return fmt.Errorf("object %d: record of a %s: %w", o.ID, o.Kind, err)
		}
	}
	return nil
}

// addressesIn makes the function addresses of an objectKind whose records have type T.
func addressesIn[T any](visit func(r *T, to AddressChanges)) func(*json.RawMessage, AddressChanges) error {
	return func(text *json.RawMessage, to AddressChanges) error {
		r, err := decode[T](*text)
		if err != nil {
			return err
		}
		visit(&r, to)
		*text, err = image.MarshalText(&r)
		return err
	}
}

// replaceAddresses keeps the addresses of a connection to the outside: the peer knows them.
func (r *TCPSocket) replaceAddresses(to AddressChanges) {
	if r.Outside == nil {
		to.endpoint(r.Own)
		to.endpoint(r.Remote)
	}
}

func (r *InetSocket) replaceAddresses(to AddressChanges) {
	to.endpoint(&r.Local)
	to.endpoint(&r.Peer)
	for i := range r.Messages {
		to.endpoint(&r.Messages[i].From)
		to.replace(&r.Messages[i].To)
	}
}

// haveAddress says what the user can do if a machine does not have an address.
func haveAddress(ip netip.Addr) string {
	return fmt.Sprintf("restart with --addr %s=NEW, where NEW is an address of this machine, or add the address to a network interface (ip address add)", ip.Unmap())
}
