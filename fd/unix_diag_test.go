package fd

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestLeftOutOfList asks for sockets of which the list lacks one, as if other programs had closed sockets while the kernel made the list.
func TestLeftOutOfList(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	var st unix.Stat_t
	if err := unix.Fstat(pair[0], &st); err != nil {
		t.Fatal(err)
	}
	inode := uint32(st.Ino)
	all, err := listUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer all.close()
	want := all.all[inode]
	delete(all.all, inode)
	got, err := all.of(inode)
	if err != nil || got == nil || !got.peered || got.kind != unix.SOCK_SEQPACKET {
		t.Fatalf("%+v, error %v", got, err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(unixSocket{}, unixReading{}, queue{})); diff != "" && want != nil {
		t.Errorf("the socket itself (-in the list +asked for):\n%s", diff)
	}
	if got, err := all.of(^uint32(0) - 7); got != nil || err != nil {
		t.Errorf("no such socket: %+v, error %v", got, err)
	}
}
