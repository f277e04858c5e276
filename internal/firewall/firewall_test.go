package firewall_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"crak.dev/crak/internal/firewall"
)

// otherRules replaces the rules of the table by one that drops nothing, as if another version of crak had made the table.
func otherRules(t *testing.T) {
	t.Helper()
	conn, err := nftables.New()
	must(t, err)
	chains, err := conn.ListChains()
	must(t, err)
	for _, chain := range chains {
		conn.FlushChain(chain)
		conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: []expr.Any{&expr.Counter{}}})
	}
	must(t, conn.Flush())
}

// TestHold checks that a held connection, and no other one, gets no packets, until it is released or its time is over. It runs in user
// and network namespaces of its own.
func TestHold(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	must(t, loopbackUp())
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		a, b := connection(t, host)
		c, d := connection(t, host)
		ends := []firewall.Connection{{Own: address(a.LocalAddr()), Peer: address(a.RemoteAddr())}}
		must(t, firewall.Hold(ends, 0, 1000, ""))
		for from, to := range map[net.Conn]net.Conn{a: b, b: a} {
			if arrives(t, from, to, 300*time.Millisecond) {
				t.Errorf("%s: held, and data arrived", host)
			}
		}
		if !arrives(t, c, d, 20*time.Second) || !arrives(t, d, c, 20*time.Second) {
			t.Errorf("%s: another connection is held as well", host)
		}
		for user, want := range map[uint32]bool{1000: true, 1001: false} {
			if held, err := firewall.HeldFor(ends[0], user); err != nil || held != want {
				t.Errorf("%s: held for user %d: %v, %v", host, user, held, err)
			}
		}
		must(t, firewall.Hold(ends, 0, 100, "/images/python3.412/1"))
		for user, want := range map[uint32]bool{100: true, 1000: false, 10: false} {
			held, err := firewall.HeldFor(ends[0], user)
			other, err2 := firewall.HeldForOther(ends[0], user)
			if err != nil || err2 != nil || held != want || other == want {
				t.Errorf("%s: held for user %d: %v, for another one: %v; %v, %v", host, user, held, other, err, err2)
			}
		}
		must(t, firewall.Release(ends))
		must(t, firewall.Release(ends))
		if held, err := firewall.HeldFor(ends[0], 1000); err != nil || held {
			t.Errorf("%s: released, and still held: %v, %v", host, held, err)
		}
		if !arrives(t, a, b, 20*time.Second) {
			t.Errorf("%s: released, and no data arrived", host)
		}
		must(t, firewall.Hold(ends, 0, 1000, ""))
		otherRules(t)
		must(t, firewall.Hold(ends, 0, 1000, ""))
		if arrives(t, a, b, 300*time.Millisecond) {
			t.Errorf("%s: held, and data arrived: the rules of another version are in force", host)
		}
		must(t, firewall.Hold(ends, 500*time.Millisecond, 1000, "/images/"+strings.Repeat("x", 200)))
		must(t, firewall.Hold(ends, 200*time.Millisecond, 1000, "/images/"+strings.Repeat("x", 200)))
		if !arrives(t, b, a, 20*time.Second) {
			t.Errorf("%s: its time is over, and no data arrived", host)
		}
		must(t, firewall.Release(ends))
	}
	conn, err := nftables.New()
	must(t, err)
	tables, err := conn.ListTables()
	must(t, err)
	if len(tables) != 0 {
		t.Errorf("%d tables are left", len(tables))
	}
}

// TestHoldWhileReleased checks that a Release, which removes the table if no connection is held, does not remove the connection of a Hold
// that happens at the same time.
func TestHoldWhileReleased(t *testing.T) {
	if !inNamespaces(t) {
		return
	}
	holdAndRelease := func(n uint16) error {
		at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port) }
		one := firewall.Connection{Own: at(n), Peer: at(n + 1)}
		for range 40 {
			if err := firewall.Hold([]firewall.Connection{one}, 0, 1000, ""); err != nil {
				return err
			}
			if held, err := firewall.HeldFor(one, 1000); err == nil && !held {
				return fmt.Errorf("connection %s: held, and gone", one)
			}
			if err := firewall.Release([]firewall.Connection{one}); err != nil {
				return err
			}
		}
		return nil
	}
	const writers = 3
	done := make(chan error)
	for n := range uint16(writers) {
		go func() { done <- holdAndRelease(1000 + n*10) }()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// inNamespaces runs the test in a process in user and network namespaces of its own. It returns true in that process.
func inNamespaces(t *testing.T) bool {
	t.Helper()
	if os.Getenv("IN_NAMESPACE") != "" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "IN_NAMESPACE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{Size: 1, HostID: os.Getuid()}}, GidMappings: []syscall.SysProcIDMap{{Size: 1, HostID: os.Getgid()}}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func address(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

func connection(t *testing.T, host string) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", host)
	must(t, err)
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	must(t, err)
	b, err = l.Accept()
	must(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func arrives(t *testing.T, from, to net.Conn, within time.Duration) bool {
	t.Helper()
	_, err := from.Write([]byte{1})
	must(t, err)
	must(t, to.SetReadDeadline(time.Now().Add(within)))
	_, err = to.Read(make([]byte, 100))
	return err == nil
}

func loopbackUp() error { return exec.Command("ip", "link", "set", "lo", "up").Run() }
