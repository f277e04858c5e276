package fd

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLacksOthers: the list of TCP sockets may lack the other end of a connection of the group, or a connection that waits for accept(2).
func TestLacksOthers(t *testing.T) {
	at := netip.MustParseAddrPort
	none, server, client, late := at("0.0.0.0:0"), at("127.0.0.1:80"), at("127.0.0.1:1000"), at("127.0.0.1:1001")
	group := map[uint32]*open{1: {}, 2: {}}
	listening := inetSocket{state: unix.BPF_TCP_LISTEN, own: server, peer: none, inode: 1, received: 1}
	own := inetSocket{state: unix.BPF_TCP_ESTABLISHED, own: client, peer: server, inode: 2}
	other := inetSocket{state: unix.BPF_TCP_ESTABLISHED, own: server, peer: client, inode: 3}
	waiting := inetSocket{state: unix.BPF_TCP_ESTABLISHED, own: server, peer: late}
	away := inetSocket{state: unix.BPF_TCP_ESTABLISHED, own: at("192.0.2.1:5"), peer: at("192.0.2.2:5"), inode: 2}
	for _, c := range []struct {
		all   []inetSocket
		lacks bool
	}{
		{[]inetSocket{listening, own, other, waiting}, false},
		{[]inetSocket{listening, own, waiting}, true},
		{[]inetSocket{listening, own, other}, true},
		{[]inetSocket{own, other}, false},
		{[]inetSocket{away}, false},
		{[]inetSocket{other}, false},
	} {
		if lacks := lacksOthers(group, c.all); lacks != c.lacks {
			t.Errorf("%v: %v", c.all, lacks)
		}
	}
}
