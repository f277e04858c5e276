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

// TestFalseLimits: in a group of root, the resident of a member of alice says that the member has higher limits. A restart by root would set them.
// The image has what the kernel says.
func TestFalseLimits(t *testing.T) {
	a := newArena(t)
	a.buildHostile()
	p := a.beside(0, fmt.Sprintf("LD_PRELOAD= exec prlimit --nproc=77:78 setpriv --reuid %d --regid %[1]d --clear-groups bash -c 'exec %s limits <>%s'", alice, a.hostile, a.waits()))
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

// TestFalseSecureBits: the resident says that the member of alice has secure bits, which alice may not set.
func TestFalseSecureBits(t *testing.T) {
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

// TestFalseSegmentOwner: alice may only read a segment of root, and her resident says that it belongs to her. A restart by root would give it
// to her, and put bytes into it that she could have made up.
func TestFalseSegmentOwner(t *testing.T) {
	a := newArena(t)
	a.buildHostile()
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, image.PageSize, unix.IPC_CREAT|0o644)
	a.must(err)
	t.Cleanup(func() { unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	p := a.beside(0, fmt.Sprintf("LD_PRELOAD= exec setpriv --reuid %d --regid %[1]d --clear-groups bash -c 'exec %s limits %d <>%s'", alice, a.hostile, id, a.waits()))
	pid := p.descendant("libcrak-hostile", alice)
	path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
	if path != "" {
		t.Errorf("image %s", path)
	}
	contains(t, stderr, fmt.Sprintf("pid %d: SysV shared memory %d: user %d may only read it", pid, id, alice))
	p.echoes()
}

// TestOnlyReads: in a group of root, a process of alice has a mapping that it may only read, of memory that no other process maps. All pages of
// it are read, and reading makes those that do not exist. So alice could fill the memory of the machine: large memory is refused.
func TestOnlyReads(t *testing.T) {
	for size, refused := range map[int]bool{1: false, 2048: true} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			a := newArena(t)
			program := a.path("reads")
			a.must(os.Rename(build(t, "reads"), program))
			p := a.beside(0, fmt.Sprintf("exec setpriv --reuid %d --regid %[1]d --clear-groups bash -c 'exec %s %d <>%s'", alice, program, size, a.waits()))
			pid := p.descendant("reads", alice)
			path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
			if (path == "") != refused {
				t.Errorf("image %q: %s", path, stderr)
			}
			if refused {
				contains(t, stderr, fmt.Sprintf("pid %d: shared memory at ", pid))
				contains(t, stderr, fmt.Sprintf("user %d may only read it, no other process of the program has it mapped", alice))
			}
			p.echoes()
		})
	}
}

// TestSlowMemory: in a group of root, a process of alice maps a removed file of 1 TiB without data. To read it takes minutes, and crak makes
// progress all the time. The process of root runs on when its freeze limit is over.
func TestSlowMemory(t *testing.T) {
	a := newArena(t)
	program := a.path("reads")
	a.must(os.Rename(build(t, "reads"), program))
	p := a.beside(0, fmt.Sprintf("exec setpriv --reuid %d --regid %[1]d --clear-groups bash -c 'exec %s %d %s <>%s'", alice, program, 1<<20, a.path("alice", "large"), a.waits()),
		"CRAK_FREEZE_LIMIT=2")
	p.descendant("reads", alice)
	path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
	if path != "" {
		t.Errorf("image %q", path)
	}
	contains(t, stderr, "the program was resumed: this checkpoint made no progress")
	p.echoes()
}
