package fd

import (
	"maps"
	"net"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestShownOptions checks that the options of a connection are those that getsockopt(2) returns, also if sock_diag(7) has shown them.
func TestShownOptions(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		f, err := client.(*net.TCPConn).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		socket := int(f.Fd())
		for _, name := range []string{"", "ip_recverr", "ip_free_bind", "ip_transparent", "bind_address_no_port", "ip_recverr_rfc4884", "ip_tos", "tcp_no_delay"} {
			if option, known := optionNamed(name, tcpAsked); known {
				if err := option.set(socket, []int32{1}); err != nil && err != unix.EPERM {
					t.Fatalf("%s %s: %v", at, name, err)
				}
			}
			got, want := optionsTwice(t, socket, numberOf(t, client.(*net.TCPConn)))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s with %q: asked (-), shown (+):\n%s", at, name, diff)
			}
		}
	}
}

// optionsTwice reads the options of a socket with sock_diag(7), if the kernel shows them, and without.
func optionsTwice(t *testing.T, socket int, inode uint32) (shown, asked map[string][]int32) {
	t.Helper()
	all, err := inetSockets(unix.IPPROTO_TCP)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(s inetSocket) bool { return s.inode == inode })
	if at < 0 || !all[at].isShown() {
		t.Fatal("sock_diag(7) does not show the socket or its options (Linux 5.10)")
	}
	read := func(s *inetSocket) map[string][]int32 {
		r := TCPSocket{Family: int(all[at].family)}
		reading := tcpReading{record: &r, of: &open{inet: s}}
		if reading.usual, reading.usualNew, err = new(capture).usualTCP(r.Family, s); err != nil {
			t.Fatal(err)
		}
		if err := reading.readOptions(socket, true); err != nil {
			t.Fatal(err)
		}
		return maps.Clone(r.Options)
	}
	return read(&all[at]), read(nil)
}
