package coord

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// waits makes a FIFO out of which a process reads without end.
func (a *arena) waits() string {
	a.Helper()
	a.must(unix.Mkfifo(a.path("fifo"), 0o666))
	a.must(os.Chmod(a.path("fifo"), 0o666))
	return a.path("fifo")
}

// TestBoast: in a group of root, the resident of a member of alice says that the member has higher limits. A restart by root would set them.
// The image has what the kernel says.
func TestBoast(t *testing.T) {
	a := newArena(t)
	a.buildHostile()
	p := a.beside(0, fmt.Sprintf("LD_PRELOAD= exec prlimit --nproc=77:78 setpriv --reuid %d --regid %[1]d --clear-groups bash -c 'exec %s boasts <>%s'", alice, a.hostile, a.waits()))
	p.descendant("libcrak-hostile", alice)
	path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
	if path == "" {
		t.Fatal(stderr)
	}
	img, err := image.Open(strings.TrimSpace(path))
	a.must(err)
	defer img.Close()
	for _, of := range img.Group.Processes {
		if of.Threads[0].Credentials.UID[0] != alice {
			continue
		}
		want := image.Limit{Resource: unix.RLIMIT_NPROC, Soft: 77, Hard: 78}
		if got := of.Limits[unix.RLIMIT_NPROC]; got != want {
			t.Errorf("limit %+v, want %+v", got, want)
		}
	}
	p.echoes()
}

// TestBoastOfBits: the resident says that the member of alice has secure bits, which alice may not set.
func TestBoastOfBits(t *testing.T) {
	a := newArena(t)
	a.buildHostile()
	p := a.beside(0, fmt.Sprintf("LD_PRELOAD= exec setpriv --reuid %d --regid %[1]d --clear-groups bash -c 'exec %s bits <>%s'", alice, a.hostile, a.waits()))
	pid := p.descendant("libcrak-hostile", alice)
	path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
	if path != "" {
		t.Errorf("image %s", path)
	}
	contains(t, stderr, fmt.Sprintf("pid %d: secure bits 0x4", pid))
	p.echoes()
}

// TestBoastOfSegment: alice may only read a segment of root, and her resident says that it belongs to her. A restart by root would give it
// to her, and put bytes into it that she could have made up.
func TestBoastOfSegment(t *testing.T) {
	a := newArena(t)
	a.buildHostile()
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, image.PageSize, unix.IPC_CREAT|0o644)
	a.must(err)
	t.Cleanup(func() { unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	p := a.beside(0, fmt.Sprintf("LD_PRELOAD= exec setpriv --reuid %d --regid %[1]d --clear-groups bash -c 'exec %s boasts %d <>%s'", alice, a.hostile, id, a.waits()))
	pid := p.descendant("libcrak-hostile", alice)
	path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
	if path != "" {
		t.Errorf("image %s", path)
	}
	contains(t, stderr, fmt.Sprintf("pid %d: SysV shared memory %d: user %d may only read it", pid, id, alice))
	p.echoes()
}
