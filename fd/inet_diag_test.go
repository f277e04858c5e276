package fd

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInetSockets checks what the kernel tells about a listening socket and a connection.
func TestInetSockets(t *testing.T) {
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
		all, err := inetSockets(unix.IPPROTO_TCP)
		if err != nil {
			t.Fatal(err)
		}
		found := make(map[uint32]inetSocket)
		for _, s := range all {
			found[s.inode] = s
		}
		listening, connected := found[numberOf(t, l.(*net.TCPListener))], found[numberOf(t, client.(*net.TCPConn))]
		if listening.own.String() != l.Addr().String() || listening.state != unix.BPF_TCP_LISTEN || listening.received != 1 {
			t.Errorf("listening at %v: %+v", l.Addr(), listening)
		}
		if connected.own.String() != client.LocalAddr().String() || connected.peer.String() != l.Addr().String() {
			t.Errorf("connection from %v to %v: %+v", client.LocalAddr(), l.Addr(), connected)
		}
	}
}

func numberOf(t *testing.T, s syscall.Conn) (inode uint32) {
	t.Helper()
	c, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Control(func(fd uintptr) {
		var st unix.Stat_t
		if err := unix.Fstat(int(fd), &st); err != nil {
			t.Error(err)
		}
		inode = uint32(st.Ino)
	})
	return inode
}
