package fd_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// TestManyQueues captures many sockets, which are read at the same time. In the queue of each are bytes, descriptors and credentials.
// Each queue is as it was in the image, and in the socket after the capture.
func TestManyQueues(t *testing.T) {
	file := temporary(t, "file")
	who := unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid()), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())})
	type pair struct {
		there *os.File
		kind  int
	}
	var pairs []pair
	for i := range 60 {
		kind := []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET}[i%3]
		here, there := socketPair(t, kind)
		must(t, unix.Sendmsg(int(here.Fd()), fmt.Appendf(nil, "plain %02d", i), nil, nil, 0))
		must(t, unix.Sendmsg(int(here.Fd()), []byte("signed"), who, nil, 0))
		lone, err := os.Open(os.DevNull)
		must(t, err)
		passed(t, here, file, lone)
		must(t, lone.Close())
		if i%2 == 1 {
			must(t, unix.SetsockoptInt(int(there.Fd()), unix.SOL_SOCKET, unix.SO_PEEK_OFF, 3))
		}
		pairs = append(pairs, pair{there, kind})
	}
	p := captured(t, ourselves())
	defer p.Release()
	contents := make(map[image.ObjectID][]byte)
	for _, f := range p.InFlight {
		contents[f.Object] = f.Content
	}
	signed := &fd.Credentials{Pid: image.Pid(os.Getpid()), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	seen := make(map[image.DescriptionID]bool)
	for i, one := range pairs {
		id := p.description(t, one.there).Object
		if got, want := string(contents[id]), fmt.Sprintf("plain %02dsignedx", i); got != want {
			t.Errorf("socket %d: content %q, want %q", i, got, want)
		}
		var r fd.UnixSocket
		must(t, json.Unmarshal(p.Objects[id-1].Record, &r))
		last := len(r.Messages) - 1
		if last != 2 || !reflect.DeepEqual(r.Messages[:last], []fd.UnixMessage{{Size: 8}, {Size: 6, Credentials: signed}}) {
			t.Errorf("socket %d: messages %+v", i, r.Messages)
			continue
		}
		inside := r.Messages[last].Descriptors
		if len(inside) != 2 || inside[0] != p.description(t, file).ID || seen[inside[1]] {
			t.Errorf("socket %d: descriptions %v in its queue, want %d and a new one", i, inside, p.description(t, file).ID)
			continue
		}
		seen[inside[1]] = true
		offset, err := unix.GetsockoptInt(int(one.there.Fd()), unix.SOL_SOCKET, unix.SO_PEEK_OFF)
		if want := []int{-1, 3}[i%2]; err != nil || offset != want {
			t.Errorf("socket %d: SO_PEEK_OFF is %d, error %v, want %d", i, offset, err, want)
		}
		if credentials, err := unix.GetsockoptInt(int(one.there.Fd()), unix.SOL_SOCKET, unix.SO_PASSCRED); err != nil || credentials != 0 {
			t.Errorf("socket %d: SO_PASSCRED is %d, error %v", i, credentials, err)
		}
	}
}
