package fd

import (
	"net/netip"
	"testing"

	"crak.dev/crak/image"
)

func TestAddressChanges(t *testing.T) {
	var to AddressChanges
	for _, text := range []string{"10.0.0.1=10.0.0.2", "fe80::1%eth0=fe80::2%eth1", "fe80::3=fe80::4", "::ffff:10.0.0.5=10.0.0.6"} {
		if err := to.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	for before, want := range map[string]string{
		"10.0.0.1": "10.0.0.2", "::ffff:10.0.0.1": "::ffff:10.0.0.2", "10.0.0.2": "10.0.0.2", "10.0.0.5": "10.0.0.6",
		"fe80::1%eth0": "fe80::2%eth1", "fe80::1%eth1": "fe80::1%eth1", "fe80::3%eth7": "fe80::4%eth7", "0.0.0.0": "0.0.0.0", "::": "::",
	} {
		have := netip.MustParseAddr(before)
		if to.replace(&have); have.String() != want {
			t.Errorf("%s: %s, want %s", before, have, want)
		}
	}
}

func TestAddressChangesRefused(t *testing.T) {
	to := AddressChanges{{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}}
	for _, text := range []string{"", "10.0.0.3", "10.0.0.3=", "=10.0.0.3", "10.0.0.3=host", "10.0.0.3=::1", "0.0.0.0=10.0.0.3",
		"10.0.0.3=224.0.0.1", "10.0.0.1=10.0.0.4", "::ffff:10.0.0.1=10.0.0.4", "10.0.0.3:80=10.0.0.4:80"} {
		if to.Set(text) == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// TestAddressOutside: a connection keeps the address that its peer outside of the group knows.
func TestAddressOutside(t *testing.T) {
	old, peer := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.9:4000")
	to := AddressChanges{{old.Addr(), netip.MustParseAddr("10.0.0.2")}}
	for _, c := range []struct {
		record TCPSocket
		want   string
	}{
		{TCPSocket{Family: 2, Own: &old, Remote: &peer, Outside: &TCPOutside{}}, "10.0.0.1:80"},
		{TCPSocket{Family: 2, Own: &old, Listening: true}, "10.0.0.2:80"},
	} {
		g := &image.Group{Objects: []image.Object{{ID: 1, Kind: tcpObjects.name, Record: marshal(t, c.record)}}}
		if err := to.Apply(g); err != nil {
			t.Fatal(err)
		}
		if r, err := tcpRecord(g.Objects[0]); err != nil || r.Own.String() != c.want {
			t.Errorf("%v, %v: want %s", r.Own, err, c.want)
		}
	}
}
