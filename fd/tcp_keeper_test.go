package fd

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/firewall"
)

// inNetwork runs a test again in user and network namespaces of its own, and tells whether it runs in these.
func inNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv("IN_NETWORK") != "" {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "IN_NETWORK=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{Size: 1, HostID: os.Getuid()}}, GidMappings: []syscall.SysProcIDMap{{Size: 1, HostID: os.Getgid()}}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

func newKeeperServer(task KeeperTask) *keeperServer {
	return &keeperServer{user: 1000, task: task, held: make(map[firewall.Connection]bool), made: make(map[firewall.Connection]*TCPSocket)}
}

// socketTo returns a socket of a new connection, and the other end.
func socketTo(t *testing.T) (socket int, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := newTCP(unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	to, err := inetSockaddr(unix.AF_INET, l.Addr().(*net.TCPAddr).AddrPort())
	if err == nil {
		err = to.connect(int(f.Fd()))
	}
	if err == nil {
		peer, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	return int(f.Fd()), peer
}

// TestKeeperSockets: the keeper reads connections of its network namespace, and no other sockets.
func TestKeeperSockets(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	s := newKeeperServer(KeepForCheckpoint)
	defer s.releaseAll()
	refused := func(name string, socket int, want string) {
		t.Helper()
		if _, _, err := s.look(socket); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	udp, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	refused("UDP", udp, "not a TCP socket")
	single, err := newTCP(unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	refused("not connected", int(single.Fd()), "it is in state 7")
	if err := unix.Listen(int(single.Fd()), 1); err != nil {
		t.Fatal(err)
	}
	refused("listening", int(single.Fd()), "it is in state 10")
	other := make(chan int)
	var elsewhere func()
	elsewhere = func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // /proc/self/ns has the namespaces of this thread
			go elsewhere()
			select {}
		}
		if unix.Unshare(unix.CLONE_NEWNET) != nil || exec.Command("ip", "link", "set", "lo", "up").Run() != nil {
			t.Error("no other network namespace")
		}
		socket, _ := socketTo(t)
		other <- socket
	}
	go elsewhere()
	refused("of another network namespace", <-other, "in another network namespace")

	socket, _ := socketTo(t)
	reply, content, err := s.look(socket)
	if err != nil || reply.Outside == nil {
		t.Fatalf("%+v, %v", reply, err)
	}
	content.Close()
	ends, _ := connectionOf(socket)
	if held, err := firewall.HeldFor(ends, s.user); err != nil || !held {
		t.Errorf("its packets are not dropped: %v", err)
	}
	if _, _, err := s.answer(&keeperRequest{Do: keeperMake}, nil); err == nil {
		t.Error("it makes a connection during a checkpoint")
	}
}

// TestKeeperRace: a program uses its socket while the keeper reads it. It never has a socket in repair mode, nor another connection.
func TestKeeperRace(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	s := newKeeperServer(KeepForCheckpoint)
	defer s.releaseAll()
	read := 0
	for range 60 {
		socket, _ := socketTo(t)
		ends, err := connectionOf(socket)
		if err != nil {
			t.Fatal(err)
		}
		var over atomic.Bool
		ended := make(chan bool)
		go func() {
			for !over.Load() {
				if on, err := unix.GetsockoptInt(socket, unix.SOL_TCP, unix.TCP_REPAIR); err != nil || on == 0 {
					continue
				}
				disconnect(socket)
				_ = unix.Listen(socket, 1)
			}
			close(ended)
		}()
		_, content, err := s.look(socket)
		over.Store(true)
		<-ended
		if err == nil {
			content.Close()
			read++
		}
		if on, err := unix.GetsockoptInt(socket, unix.SOL_TCP, unix.TCP_REPAIR); err != nil || on != 0 {
			t.Fatalf("in repair mode: %d, %v", on, err)
		}
		if again, err := connectionOf(socket); err == nil && again != ends {
			t.Fatalf("%s is %s now", ends, again)
		}
		_ = s.release(ends)
	}
	t.Logf("read %d of 60 connections", read)
}

// TestKeeperUsers: at a restart the keeper makes and releases only connections that are held for its user.
func TestKeeperUsers(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	own, peer := netip.MustParseAddrPort("127.0.0.1:2000"), netip.MustParseAddrPort("127.0.0.1:2001")
	ends := []firewall.Connection{{Own: own, Peer: peer}}
	record, err := image.MarshalText(&TCPSocket{Family: unix.AF_INET, Own: &own, Remote: &peer, Outside: &TCPOutside{MaxSegment: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	s := newKeeperServer(KeepForRestart)
	makes := func() error {
		content, err := memoryWith(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer content.Close()
		_, file, err := s.answer(&keeperRequest{Do: keeperMake, Record: record}, []*os.File{content})
		if err == nil {
			defer file.Close()
			if on, err := unix.GetsockoptInt(int(file.Fd()), unix.SOL_TCP, unix.TCP_REPAIR); err != nil || on != 0 {
				t.Errorf("in repair mode: %d, %v", on, err)
			}
		}
		return err
	}
	if makes() == nil {
		t.Error("it has made a connection that nobody holds")
	}
	for _, user := range []uint32{s.user + 1, 0} {
		if err := firewall.Hold(ends, 0, user, ""); err != nil {
			t.Fatal(err)
		}
		if makes() == nil {
			t.Errorf("it has made a connection of user %d", user)
		}
		if _, _, err := s.answer(&keeperRequest{Do: keeperRelease, Own: own, Peer: peer}, nil); err != nil {
			t.Error(err)
		}
		if held, err := firewall.HeldFor(ends[0], user); err != nil || !held {
			t.Errorf("it has released a connection of user %d: %v", user, err)
		}
	}
	if err := firewall.Hold(ends, 0, s.user, ""); err != nil {
		t.Fatal(err)
	}
	if err := makes(); err != nil {
		t.Error(err)
	}
	s.releaseAll()
	if held, err := firewall.HeldFor(ends[0], s.user); err != nil || held {
		t.Errorf("the restart has failed, and it is still held: %v", err)
	}
}

// TestReleased: the packets of a connection come through again after a checkpoint if the program goes on, and after a restart that fails or
// succeeds.
func TestReleased(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	socket, _ := socketTo(t)
	ends, err := connectionOf(socket)
	if err != nil {
		t.Fatal(err)
	}
	user := uint32(os.Geteuid())
	held := func(when string, want bool) {
		t.Helper()
		if got, err := firewall.HeldFor(ends, user); err != nil || got != want {
			t.Errorf("%s: held: %v, %v", when, got, err)
		}
	}
	table := &Table{}
	record := &TCPSocket{Family: unix.AF_INET, Own: &ends.Own, Remote: &ends.Peer}
	content, err := table.lookOutside(record, &open{handle: &Handle{fd: socket, shares: true}, member: &Member{}})
	if err != nil || len(content) != 0 {
		t.Fatalf("%q, %v", content, err)
	}
	held("during the pause", true)
	table.ReleaseConnections()
	held("the program goes on", false)

	if err := errors.Join(hold(ends, 0, ""), abort(socket), unix.Close(socket)); err != nil {
		t.Fatal(err)
	}
	text, err := image.MarshalText(record)
	if err != nil {
		t.Fatal(err)
	}
	for when, end := range map[string]func(*Env) error{
		"the restart has failed":    func(e *Env) error { e.Abandon(); return nil },
		"the restart has succeeded": (*Env).Commit,
	} {
		env := &Env{}
		env.Know(&image.Group{Objects: []image.Object{{ID: 1, Kind: "tcp_socket", Record: text}}})
		f, err := Make(image.Description{ID: 1, Kind: "tcp_socket", Object: 1}, env)
		if err != nil {
			t.Fatal(err)
		}
		held("during the restart", true)
		if on, err := unix.GetsockoptInt(int(f.Fd()), unix.SOL_TCP, unix.TCP_REPAIR); err != nil || on != 0 {
			t.Errorf("in repair mode: %d, %v", on, err)
		}
		if err := errors.Join(end(env), abort(int(f.Fd()))); err != nil {
			t.Errorf("%s: %v", when, err)
		}
		held(when, false)
		env.Close()
		f.Close()
	}
}
