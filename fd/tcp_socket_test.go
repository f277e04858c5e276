package fd_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

func listeningTCP(t *testing.T) *os.File {
	t.Helper()
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	f := os.NewFile(uintptr(s), "listening socket")
	t.Cleanup(func() { f.Close() })
	must(t, unix.Bind(s, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(s, 5))
	return f
}

// TestPortTaken checks that a restart says that a port is taken, and what to do.
func TestPortTaken(t *testing.T) {
	f := listeningTCP(t)
	p := captured(t, ourselves())
	d := p.description(t, f)
	env := pipesOf(p)
	taken := fd.Check(d, env)
	if len(taken) != 1 || !strings.Contains(taken[0].Why, "another process has this address") || !strings.Contains(taken[0].Do, "ss -tanp") {
		t.Errorf("obstacles: %v", taken)
	}
	f.Close()
	if again := fd.Check(d, pipesOf(p)); len(again) != 0 {
		t.Errorf("when the port is free: %v", again)
	}
}

// TestTCPRecords checks that damaged records of sockets are errors, and make no socket.
func TestTCPRecords(t *testing.T) {
	for _, text := range []string{
		`{"family":1}`,
		`{"family":2,"own":"[::1]:80"}`,
		`{"family":2,"own":"127.0.0.1"}`,
		`{"family":2,"listening":true}`,
		`{"family":2,"listening":true,"over":true,"own":"127.0.0.1:0"}`,
		`{"family":2,"peer":1,"own":"127.0.0.1:1","remote":"127.0.0.1:2"}`,
		`{"family":2,"peer":7,"own":"127.0.0.1:1","remote":"127.0.0.1:2"}`,
		`{"family":2,"closed":true}`,
		`{"family":2,"connecting":true,"own":"127.0.0.1:1"}`,
		`{"family":2,"late":1}`,
		`{"family":2,"mark":{"place":0}}`,
		`{"family":2,"mark":{"place":-1}}`,
		`{"family":2,"late":-1}`,
		`{"family":2,"error":-1,"over":true}`,
		`{"family":2,"error":111}`,
		`{"family":2,"shutdown":4}`,
		`{"family":2,"options":{"tcp_no_delay":[1,2]}}`,
		`{"family":2,"options":{"unknown":[1]}}`,
		`{"family":2,"filter":[[65536,0,0,0]]}`,
		`{"family":2,"unknown":1}`,
		`{"family":2,"reconnect":true,"own":"127.0.0.1:1"}`,
		`{"family":2,"reconnect":true,"closed":true,"own":"127.0.0.1:1","remote":"127.0.0.1:2"}`,
		`{"family":2,"own":"127.0.0.1:1","remote":"127.0.0.1:2","outside":{"receive":1,"send":1,"window":[0,0,0,0,0],"max_segment":9,"state":10}}`,
		`{"family":2,"own":"127.0.0.1:1","remote":"127.0.0.1:2","outside":{"receive":1,"send":1,"window":[0,0,0,0,0],"max_segment":9,"later":1}}`,
		`{"family":2,"own":"127.0.0.1:1","remote":"127.0.0.1:2","outside":{"receive":1,"send":1,"window":[0,0,0,0,0],"max_segment":9,"unsent":1}}`,
		`{"family":2,"own":"127.0.0.1:1","outside":{"receive":1,"send":1,"window":[0,0,0,0,0],"max_segment":9}}`,
	} {
		env := &fd.Env{}
		env.Know(&image.Group{Objects: []image.Object{{ID: 1, Kind: "tcp_socket", Record: json.RawMessage(text)}}})
		f, err := fd.Make(image.Description{ID: 1, Kind: "tcp_socket", Object: 1}, env)
		env.Close()
		if err == nil {
			f.Close()
			t.Errorf("%s: made", text)
		}
	}
}

// TestEndConnections checks that connections of a killed group leave no TIME_WAIT.
func TestEndConnections(t *testing.T) {
	l := listeningTCP(t)
	own, err := unix.Getsockname(int(l.Fd()))
	must(t, err)
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Connect(client, own))
	server, _, err := unix.Accept4(int(l.Fd()), unix.SOCK_CLOEXEC)
	must(t, err)
	at, err := unix.Getsockname(client)
	must(t, err)
	p := captured(t, ourselves())
	p.EndConnections("")
	must(t, unix.Close(client))
	must(t, unix.Close(server))
	again, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(again)
	if err := unix.Bind(again, at); err != nil {
		t.Errorf("bind to the client's address: %v", err)
	}
}

// TestWaitingOutside leaves out a connection from outside that waits for accept(2), and one whose handshake the kernel has not completed for
// the server (SYN_RECV): with TCP_DEFER_ACCEPT it waits for data, and the client is connected.
func TestWaitingOutside(t *testing.T) {
	for name, deferred := range map[string]int{"waiting": 0, "SYN_RECV": 60} {
		t.Run(name, func(t *testing.T) {
			f := listeningTCP(t)
			must(t, unix.SetsockoptInt(int(f.Fd()), unix.SOL_TCP, unix.TCP_DEFER_ACCEPT, deferred))
			own, err := unix.Getsockname(int(f.Fd()))
			must(t, err)
			connectFromOutside(t, own.(*unix.SockaddrInet4).Port)
			poll := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
			if ready, err := unix.Poll(poll, 0); err != nil || (ready > 0) != (deferred == 0) {
				t.Fatalf("%d connections are ready for accept(2): %v", ready, err)
			}
			why := captured(t, ourselves()).obstacleOf(f)
			_, choice, found := strings.Cut(why, "--fd ")
			if !found || !strings.Contains(why, "waits in it") {
				t.Fatalf("obstacle %q", why)
			}
			m := ourselves()
			m.Overrides = overrides(t, strings.TrimSpace(choice))
			p := captured(t, m)
			if why := p.obstacleOf(f); why != "" || p.description(t, f).Kind != "tcp_socket" {
				t.Errorf("without the connection: obstacle %q", why)
			}
		})
	}
}

// connectFromOutside has another process connect to a port.
func connectFromOutside(t *testing.T, port int) {
	t.Helper()
	client := exec.Command("bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d && echo connected && read", port))
	stdin, err := client.StdinPipe()
	must(t, err)
	stdout, err := client.StdoutPipe()
	must(t, err)
	must(t, client.Start())
	t.Cleanup(func() {
		stdin.Close()
		client.Wait()
	})
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// TestConnectInterrupted connects while signals come all the time, as the Go runtime sends them. The queue of the listening socket is full
// at first, so the kernel repeats the connection request after a second, and connect(2) has to wait.
func TestConnectInterrupted(t *testing.T) {
	listening, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(listening)
	must(t, unix.Bind(listening, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(listening, 0))
	name, err := unix.Getsockname(listening)
	must(t, err)
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(name.(*unix.SockaddrInet4).Port))
	first, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to)) // fills the queue
	must(t, err)
	defer first.Close()

	done := make(chan struct{})
	var signals sync.WaitGroup
	signals.Go(func() {
		for start, accepted := time.Now(), false; ; {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			tasks, _ := os.ReadDir("/proc/self/task")
			for _, task := range tasks {
				tid, _ := strconv.Atoi(task.Name())
				_ = unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
			}
			if !accepted && time.Since(start) > 200*time.Millisecond {
				if s, _, err := unix.Accept4(listening, unix.SOCK_CLOEXEC); err == nil {
					unix.Close(s)
				}
				accepted = true
			}
		}
	})
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(socket)
	start := time.Now()
	err = fd.ConnectWithin(socket, to)
	close(done)
	signals.Wait()
	if err != nil {
		t.Error(err)
	}
	if time.Since(start) < 200*time.Millisecond {
		t.Error("connect did not have to wait, so this test has proved nothing")
	}
}
