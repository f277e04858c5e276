package fd_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
)

func socketPair(t *testing.T, kind int) (*os.File, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	ends := [2]*os.File{os.NewFile(uintptr(fds[0]), "one end"), os.NewFile(uintptr(fds[1]), "other end")}
	t.Cleanup(func() {
		ends[0].Close()
		ends[1].Close()
	})
	return ends[0], ends[1]
}

// TestSocketOfOutsider checks that a socket whose peer is in another process is refused.
func TestSocketOfOutsider(t *testing.T) {
	ours, theirs := socketPair(t, unix.SOCK_STREAM)
	if got := captured(t, ourselves()).obstacleOf(ours); got != "" {
		t.Errorf("obstacle %q while both ends are in the group", got)
	}
	giveAway(t, theirs)
	if got := captured(t, ourselves()).obstacleOf(ours); !strings.Contains(got, "connected to a process outside of the group") {
		t.Errorf("obstacle %q, want one about a process outside", got)
	}
}

// TestSocketOfResident checks that the socket by which the resident of a running member answers another crak is no obstacle. In a
// frozen member it counts as the program's, unless it is in Member.Except.
func TestSocketOfResident(t *testing.T) {
	name := fmt.Sprintf("@%s%016x", abi.SocketPrefix, os.Getpid())
	listener, err := net.Listen("unix", name)
	must(t, err)
	defer listener.Close()
	connection, err := net.Dial("unix", name)
	must(t, err)
	defer connection.Close()
	accepted, err := listener.(*net.UnixListener).AcceptUnix()
	must(t, err)
	defer accepted.Close()
	theirs, err := accepted.File()
	must(t, err)
	ours, err := connection.(*net.UnixConn).File()
	must(t, err)
	defer ours.Close()
	giveAway(t, theirs)
	accepted.Close()
	runs := ourselves()
	runs.Calls = nil
	if got := captured(t, runs).obstacleOf(ours); got != "" {
		t.Errorf("obstacle %q in a member that runs", got)
	}
	if got := captured(t, ourselves()).obstacleOf(ours); !strings.Contains(got, "connected to a process outside of the group") {
		t.Errorf("obstacle %q in a frozen member, want one about a process outside", got)
	}
}

// TestUnixRecords checks that damaged records of sockets are errors, and make no socket.
func TestUnixRecords(t *testing.T) {
	for _, text := range []string{
		`{"type":5,"peer":1}`,
		`{"type":1,"peer":7}`,
		`{"type":9}`,
		`{"type":2,"messages":[{"size":-1}]}`,
		`{"type":2,"messages":[{"size":10}]}`,
		`{"type":1,"name":{"path":"a","abstract":"b"}}`,
		`{"type":1,"name":{"abstract":"` + strings.Repeat("x", 200) + `"}}`,
		`{"type":1,"name":{"path":"x","directory":"relative"}}`,
		`{"type":1,"shutdown":4}`,
		`{"type":1,"options":{"sndbuf":[1,2]}}`,
		`{"type":1,"options":{"unknown":[1]}}`,
		`{"type":1,"waiting":[9]}`,
		`{"type":1,"messages":[{"size":1}]}`,
		`{"type":2,"messages":[{"size":0,"descriptors":[` + strings.Repeat("1,", 300) + `1]}]}`,
		`{"type":2,"messages":[{"size":0,"credentials":{"pid":0,"uid":0,"gid":0}}]}`,
		`{"type":1,"unknown":1}`,
	} {
		env := &fd.Env{}
		env.Know(&image.Group{Objects: []image.Object{{ID: 1, Kind: "unix_socket", Record: json.RawMessage(text)}}})
		f, err := fd.Make(image.Description{ID: 1, Kind: "unix_socket", Object: 1}, env)
		env.Close()
		if err == nil {
			f.Close()
			t.Errorf("%s: made", text)
		}
	}
}

// TestSendersOfMessages checks whose credentials a message has in the image, and that a message is refused that gives the program a pidfd.
func TestSendersOfMessages(t *testing.T) {
	here, there := socketPair(t, unix.SOCK_DGRAM)
	who := unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())})
	must(t, unix.Sendmsg(int(here.Fd()), []byte("signed"), who, nil, 0))
	must(t, unix.Sendmsg(int(here.Fd()), []byte("x"), nil, nil, 0))
	p := captured(t, ourselves())
	var r fd.UnixSocket
	must(t, json.Unmarshal(p.Objects[p.description(t, there).Object-1].Record, &r))
	want := []fd.UnixMessage{{Size: 6, Credentials: &fd.Credentials{Pid: image.Pid(os.Getpid()), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}}, {Size: 1}}
	if !reflect.DeepEqual(r.Messages, want) {
		t.Errorf("messages %+v, want %+v", r.Messages, want)
	}
	if n, err := unix.GetsockoptInt(int(there.Fd()), unix.SOL_SOCKET, unix.SO_PASSCRED); err != nil || n != 0 {
		t.Errorf("SO_PASSCRED is %d, error %v", n, err)
	}
	const passPidfd = 76 // SO_PASSPIDFD
	if err := unix.SetsockoptInt(int(there.Fd()), unix.SOL_SOCKET, passPidfd, 1); err != nil {
		t.Skip("this kernel has no SO_PASSPIDFD (Linux 6.5)")
	}
	if got := captured(t, ourselves()).obstacleOf(there); !strings.Contains(got, "SO_PASSPIDFD") {
		t.Errorf("obstacle %q, want one about SO_PASSPIDFD", got)
	}
}

// TestOutOfBand checks that a byte of out-of-band data is found where it is, and left there. It is refused if it could be in two places.
func TestOutOfBand(t *testing.T) {
	here, there := socketPair(t, unix.SOCK_STREAM)
	must(t, unix.Sendmsg(int(here.Fd()), []byte("ab"), nil, nil, unix.MSG_OOB))
	must(t, unix.Sendmsg(int(here.Fd()), []byte("bc"), nil, nil, 0))
	p := captured(t, ourselves())
	object := p.Objects[p.description(t, there).Object-1]
	var r fd.UnixSocket
	must(t, json.Unmarshal(object.Record, &r))
	if want := []fd.UnixMessage{{Size: 1}, {Size: 1, OutOfBand: true}, {Size: 2}}; !reflect.DeepEqual(r.Messages, want) {
		t.Errorf("messages %+v, want %+v", r.Messages, want)
	}
	if n, err := unix.GetsockoptInt(int(there.Fd()), unix.SOL_SOCKET, unix.SO_OOBINLINE); err != nil || n != 0 {
		t.Errorf("SO_OOBINLINE is %d, error %v", n, err)
	}
	if _, _, err := unix.Recvfrom(int(there.Fd()), make([]byte, 1), unix.MSG_OOB); err != nil {
		t.Errorf("the out-of-band byte is gone: %v", err)
	}
	if got := captured(t, ourselves()).obstacleOf(there); got != "" {
		t.Errorf("obstacle %q after the byte was read", got)
	}
}

// TestEmptyMessageAgain checks that an empty message, which the kernel shows only once, is in the first image and is refused after that.
func TestEmptyMessageAgain(t *testing.T) {
	for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		here, there := socketPair(t, kind)
		must(t, unix.Sendmsg(int(here.Fd()), nil, nil, nil, 0))
		p := captured(t, ourselves())
		var r fd.UnixSocket
		must(t, json.Unmarshal(p.Objects[p.description(t, there).Object-1].Record, &r))
		if want := []fd.UnixMessage{{}}; !reflect.DeepEqual(r.Messages, want) {
			t.Errorf("messages %+v, want %+v", r.Messages, want)
		}
		if got := captured(t, ourselves()).obstacleOf(there); !strings.Contains(got, "shows it only once") {
			t.Errorf("obstacle %q, want one about an empty message", got)
		}
	}
}

// passed sends descriptors into the queue of a socket.
func passed(t *testing.T, to *os.File, files ...*os.File) {
	t.Helper()
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	must(t, unix.Sendmsg(int(to.Fd()), []byte("x"), unix.UnixRights(fds...), nil, 0))
}

// TestInFlight checks that a description in a queue is the one that a process has, or is known as the only one, and that the writer keeps
// no descriptor of it after Release.
func TestInFlight(t *testing.T) {
	here, there := socketPair(t, unix.SOCK_STREAM)
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	file := temporary(t, "file")
	passed(t, here, w, file)
	w.Close()
	p := captured(t, ourselves())
	object := p.description(t, there).Object
	inside := fd.RefersObject(p.Objects[object-1]).Descriptions
	if len(inside) != 2 {
		t.Fatalf("descriptions %v in the queue, want 2", inside)
	}
	if got := p.Descriptions[inside[0]-1]; got.Kind != "pipe_end" || got.Object != p.description(t, r).Object {
		t.Errorf("%+v is not the write end of the pipe", got)
	}
	if got, want := inside[1], p.description(t, file).ID; got != want {
		t.Errorf("the file is description %d, want %d", got, want)
	}
	unix.Close(int(received(t, there)[0])) // the queue's own
	hung := []unix.PollFd{{Fd: int32(r.Fd())}}
	if n, err := unix.Poll(hung, 0); err != nil || n != 0 {
		t.Errorf("the pipe has %#x, error %v, while the table has the write end", hung[0].Revents, err)
	}
	p.Release()
	if n, err := unix.Poll(hung, 0); err != nil || n != 1 {
		t.Errorf("the write end of the pipe is still open, error %v", err)
	}
}

// received takes the descriptors out of a queue.
func received(t *testing.T, from *os.File) []int {
	t.Helper()
	control := make([]byte, 1000)
	_, n, _, _, err := unix.Recvmsg(int(from.Fd()), make([]byte, 10), control, unix.MSG_DONTWAIT)
	must(t, err)
	parts, err := unix.ParseSocketControlMessage(control[:n])
	must(t, err)
	fds, err := unix.ParseUnixRights(&parts[0])
	must(t, err)
	return fds
}

// TestInFlightRefused checks that what cannot come back is refused in the name of the socket in whose queue it is.
func TestInFlightRefused(t *testing.T) {
	owned, err := os.Open(os.DevNull)
	must(t, err)
	_, err = unix.FcntlInt(owned.Fd(), unix.F_SETOWN, os.Getpid())
	must(t, err)
	for what, f := range map[string]*os.File{"a description with an owner": owned} {
		here, there := socketPair(t, unix.SOCK_DGRAM)
		passed(t, here, f)
		f.Close()
		if got := captured(t, ourselves()).obstacleOf(there); !strings.Contains(got, "in the queue of a Unix socket") {
			t.Errorf("%s: obstacle %q", what, got)
		}
	}
}

// TestHostileSockets checks that a restart refuses sockets that refer to each other in impossible ways. The restart neither waits nor runs
// out of stack.
func TestHostileSockets(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	for what, records := range map[string][]string{
		"its own listener":           {`{"type":1,"peer":2,"listener":1,"name":{"abstract":"a"}}`, `{"type":1,"peer":1,"name":{"abstract":"b"}}`},
		"a listener of each other":   {`{"type":1,"peer":2,"listener":2,"name":{"abstract":"a"}}`, `{"type":1,"peer":1,"listener":1,"name":{"abstract":"b"}}`},
		"listens, with a peer":       {`{"type":1,"peer":2,"listener":1,"listening":true,"name":{"path":"` + name + `"}}`, `{"type":1,"peer":1}`},
		"waits in itself":            {`{"type":1,"listening":true,"name":{"path":"` + name + `"},"waiting":[1]}`},
		"waits where nobody listens": {`{"type":1,"name":{"path":"` + name + `"},"waiting":[2]}`, `{"type":1}`},
		"waits twice":                {`{"type":1,"listening":true,"backlog":1,"name":{"abstract":"` + name + `"},"waiting":[2,2,2]}`, `{"type":1}`},
		"a listener of a stranger":   {`{"type":1,"peer":2,"listener":3,"name":{"abstract":"a"}}`, `{"type":1,"peer":1}`, `{"type":1}`},
	} {
		done := make(chan error, 1)
		go func() {
			env := &fd.Env{}
			defer env.Close()
			g := &image.Group{}
			for i, text := range records {
				g.Objects = append(g.Objects, image.Object{ID: image.ObjectID(i + 1), Kind: "unix_socket", Record: json.RawMessage(text)})
				g.Descriptions = append(g.Descriptions, image.Description{ID: image.DescriptionID(i + 1), Kind: "unix_socket", Object: image.ObjectID(i + 1)})
			}
			env.Know(g)
			files, err := fd.MakeAll(g.Descriptions, env)
			if err == nil {
				for _, f := range files {
					f.Close()
				}
			}
			env.Abandon()
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil {
				t.Errorf("%s: made", what)
			} else {
				t.Logf("%s: %v", what, err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: the restart waits", what)
		}
	}
}

// TestStrangerConnects checks that a restart does not take the connection of another process for one of the program, if that process connects
// to a listening socket of the program first.
func TestStrangerConnects(t *testing.T) {
	name := t.TempDir()
	env := &fd.Env{}
	defer env.Close()
	g := &image.Group{}
	for i, record := range []string{
		`{"type":1,"listening":true,"backlog":9,"name":{"abstract":"` + name + `"}}`,
		`{"type":1,"peer":3}`,
		`{"type":1,"peer":2,"listener":1,"name":{"abstract":"` + name + `"}}`,
	} {
		g.Objects = append(g.Objects, image.Object{ID: image.ObjectID(i + 1), Kind: "unix_socket", Record: json.RawMessage(record)})
	}
	env.Know(g)
	made := func(id uint64) *os.File {
		f, err := fd.Make(image.Description{ID: image.DescriptionID(id), Kind: "unix_socket", Object: image.ObjectID(id), Flags: unix.O_RDWR}, env)
		must(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	made(1)
	for range 3 {
		stranger, err := net.Dial("unix", "@"+name)
		must(t, err)
		defer stranger.Close()
		_, err = stranger.Write([]byte("stranger"))
		must(t, err)
	}
	client, server := made(2), made(3)
	_, err := unix.Write(int(client.Fd()), []byte("client"))
	must(t, err)
	received := make([]byte, 100)
	n, _, err := unix.Recvfrom(int(server.Fd()), received, unix.MSG_DONTWAIT)
	if err != nil || string(received[:n]) != "client" {
		t.Errorf("the server has received %q, %v", received[:max(n, 0)], err)
	}
}

// TestWaitingConnections checks that connections come back that wait in a queue that has been made shorter since.
func TestWaitingConnections(t *testing.T) {
	env := &fd.Env{}
	defer env.Close()
	g := &image.Group{Objects: []image.Object{{ID: 1, Kind: "unix_socket",
		Record: json.RawMessage(`{"type":1,"listening":true,"name":{"abstract":"` + t.TempDir() + `"},"waiting":[2,3,4,5]}`)}}}
	for id := 2; id <= 5; id++ {
		g.Objects = append(g.Objects, image.Object{ID: image.ObjectID(id), Kind: "unix_socket", Record: json.RawMessage(`{"type":1}`)})
	}
	for _, o := range g.Objects {
		g.Descriptions = append(g.Descriptions, image.Description{ID: image.DescriptionID(o.ID), Kind: "unix_socket", Object: o.ID})
	}
	env.Know(g)
	files, err := fd.MakeAll(g.Descriptions, env)
	must(t, err)
	for range 4 {
		accepted, _, err := unix.Accept4(int(files[0].Fd()), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		must(t, err)
		must(t, unix.Close(accepted))
	}
	for _, f := range files {
		f.Close()
	}
}

// TestSwappedSocketFile: another user can write to the directory. All the time this user replaces the new socket file by a link to a socket of a
// third user. A restart does not change the mode of that socket.
func TestSwappedSocketFile(t *testing.T) {
	dir := t.TempDir()
	path, victim := filepath.Join(dir, "s"), filepath.Join(dir, "victim")
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(listener)
	must(t, unix.Bind(listener, &unix.SockaddrUnix{Name: victim}))
	must(t, os.Chmod(victim, 0o700))
	over, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			default:
			}
			if _, err := os.Lstat(path); err == nil { // the restart has bound its socket
				_ = os.Link(victim, path+"~")
				_ = os.Rename(path+"~", path)
			}
		}
	}()
	record := json.RawMessage(`{"type":1,"name":{"path":"` + path + `","file":{"mode":49663}}}`)
	for range 2000 {
		_ = os.Remove(path)
		env := &fd.Env{}
		env.Know(&image.Group{Objects: []image.Object{{ID: 1, Kind: "unix_socket", Record: record}}})
		if f, err := fd.Make(image.Description{ID: 1, Kind: "unix_socket", Object: 1}, env); err == nil {
			f.Close()
		}
		env.Close()
		if st, err := os.Stat(victim); err != nil || st.Mode().Perm() != 0o700 {
			t.Fatalf("the socket of somebody else has the mode %v now, error %v", st.Mode(), err)
		}
	}
	close(over)
	<-ended
}

// TestEmptyPacket: an empty packet in a queue is not the end of the queue, although a read returns 0 bytes for both.
func TestEmptyPacket(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(pair[0])
	for _, packet := range []string{"a", "", "b"} {
		must(t, unix.Send(pair[1], []byte(packet), 0))
	}
	must(t, unix.Close(pair[1]))
	p := captured(t, ourselves())
	for _, o := range p.Objects {
		var r fd.UnixSocket
		must(t, json.Unmarshal(o.Record, &r))
		if len(r.Messages) == 3 && o.Size == 2 {
			return
		}
	}
	t.Errorf("no socket with 3 packets: %+v, %s", p.Objects, p.Obstacles)
}

// giveAway gives a file to another process, which has it until the end of the test, and closes it here.
func giveAway(t *testing.T, f *os.File) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.ExtraFiles = []*os.File{f}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	f.Close()
}
