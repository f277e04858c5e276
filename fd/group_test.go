package fd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/resident"
)

// groupPicture is the result of capturing several processes.
type groupPicture struct {
	picture
	numbers []map[int]image.DescriptionID // of each member
}

func capturedGroup(t *testing.T, all ...*forked) groupPicture {
	t.Helper()
	p := groupPicture{picture: picture{Table: new(fd.Table)}}
	holders := new(fd.Holders)
	var looked []*fd.Descriptors
	for _, f := range all {
		m := f.member(&p.Seen)
		m.Holders = holders
		d, err := fd.Look(m)
		must(t, err)
		var q resident.Questions
		d.Ask(&q)
		must(t, q.Put(m.Calls))
		looked = append(looked, d)
	}
	descriptors, err := fd.CaptureGroup(looked, p.Table)
	must(t, err)
	for _, list := range descriptors {
		numbers := make(map[int]image.DescriptionID)
		for _, d := range list {
			numbers[d.Fd] = d.Description
		}
		p.numbers = append(p.numbers, numbers)
	}
	return p
}

// at is the description of a number of a member.
func (p groupPicture) at(t *testing.T, member, number int) image.Description {
	t.Helper()
	id := p.numbers[member][number]
	if id == 0 {
		t.Fatalf("member %d fd %d is not in the picture; obstacles: %v", member, number, p.Obstacles)
	}
	return p.Descriptions[id-1]
}

func temporary(t *testing.T, name string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte("0123456789"), 0o600))
	return openedAt(t, path, unix.O_RDWR)
}

// TestOneDescription checks that a description which several members have is one record, and that descriptions which
// were opened independently stay apart, whatever their offsets.
func TestOneDescription(t *testing.T) {
	f := at(t, temporary(t, "file"), 4)
	a, b := fork(t, f), fork(t, f)
	dup := a.call(unix.SYS_DUP, inheritedFrom)
	own := b.open(f.Name(), unix.O_RDWR)
	other := a.open(f.Name(), unix.O_RDWR)
	for number, member := range map[int]*forked{own: b, other: a} {
		member.call(unix.SYS_LSEEK, uint64(number), 4, 0)
	}
	p := capturedGroup(t, a, b)
	if len(p.Obstacles) > 0 {
		t.Fatal(p.Obstacles)
	}
	one := p.at(t, 0, inheritedFrom)
	for _, same := range []image.Description{p.at(t, 0, dup), p.at(t, 1, inheritedFrom)} {
		if same.ID != one.ID {
			t.Errorf("description %d is recorded again as %d", one.ID, same.ID)
		}
	}
	ids := []image.DescriptionID{one.ID, p.at(t, 1, own).ID, p.at(t, 0, other).ID}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 3 {
		t.Errorf("three descriptions of one file became %v", ids)
	}
	if one.Offset != 4 || one.Kind != "regular" {
		t.Errorf("recorded as %+v", one)
	}
}

// TestLocksOfMembers checks that the locks of all members are recorded, and the locks of a description once.
func TestLocksOfMembers(t *testing.T) {
	f, owned := temporary(t, "file"), temporary(t, "owned")
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	must(t, unix.FcntlFlock(owned.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: 8, Len: 1}))
	a, b := fork(t, f, owned), fork(t, f, owned)
	a.call(unix.SYS_DUP, inheritedFrom)
	a.lock(inheritedFrom, 1)
	b.lock(inheritedFrom, 2)
	b.call(unix.SYS_FCNTL, inheritedFrom+1, unix.F_SETOWN, uint64(a.pid))
	p := capturedGroup(t, a, b)
	want := []image.Lock{
		{Type: "FLOCK", Write: true, End: -1},
		{Type: "POSIX", Write: true, Pid: image.Pid(a.pid), Start: 1, End: 1},
		{Type: "POSIX", Write: true, Pid: image.Pid(b.pid), Start: 2, End: 2},
	}
	if diff := cmp.Diff(want, p.at(t, 0, inheritedFrom).Locks); diff != "" {
		t.Errorf("locks (-want +got):\n%s", diff)
	}
	d := p.at(t, 0, inheritedFrom+1)
	if diff := cmp.Diff([]image.Lock{{Type: "OFDLCK", Write: true, Start: 8, End: 8}}, d.Locks); diff != "" {
		t.Errorf("OFD lock (-want +got):\n%s", diff)
	}
	if d.Owner == nil || d.Owner.Pid != image.Pid(a.pid) {
		t.Errorf("owner %+v, want pid %d", d.Owner, a.pid)
	}
}

// TestPipeBetweenMembers checks that a pipe whose ends are in two members is one object of the group, with its bytes
// once.
func TestPipeBetweenMembers(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	must(t, second(w.WriteString("in flight")))
	a, b := fork(t, w), fork(t, r)
	must(t, w.Close())
	if p := capturedGroup(t, a); len(p.Obstacles) != 1 || !strings.Contains(p.Obstacles[0].Error(), "outside") {
		t.Errorf("alone: %v", p.Obstacles)
	}
	must(t, r.Close())
	p := capturedGroup(t, a, b)
	write, read := p.at(t, 0, inheritedFrom), p.at(t, 1, inheritedFrom)
	if write.Object == 0 || write.Object != read.Object || write.Kind != "pipe_end" || read.Kind != "pipe_end" {
		t.Errorf("ends %+v and %+v", write, read)
	}
	if len(p.Objects) != 1 || len(p.InFlight) != 1 || string(p.InFlight[0].Content) != "in flight" {
		t.Errorf("objects %v, in flight %v", p.Objects, p.InFlight)
	}
}

// TestFormerHolder checks that a process that had a pipe open before the freeze, and has closed it since, is no
// process outside the group.
func TestFormerHolder(t *testing.T) {
	r, w, err := os.Pipe()
	must(t, err)
	a, b := fork(t, w, r), fork(t, r)
	must(t, r.Close())
	must(t, w.Close())
	holders := new(fd.Holders)
	for _, closed := range []bool{false, true} {
		if closed {
			b.call(unix.SYS_CLOSE, inheritedFrom)
		}
		var table fd.Table
		m := a.member(&table.Seen)
		m.Holders = holders
		_, err := fd.Capture(m, &table)
		must(t, err)
		if found := len(table.Obstacles) > 0; found == closed {
			t.Errorf("closed outside: %v, obstacles: %v", closed, table.Obstacles)
		}
	}
}

// TestFewDescriptors captures more special descriptions than the writer may open.
func TestFewDescriptors(t *testing.T) {
	const members, pipes, most = 4, 40, 20
	var all []*forked
	for range members {
		f := fork(t)
		for i := range pipes {
			two := make([]byte, 8)
			f.do(pipe2Call, two)
			number := f.do(memfdCall, append([]byte(fmt.Sprint(i)), 0))
			f.call(unix.SYS_FTRUNCATE, uint64(number), 5)
		}
		all = append(all, f)
	}
	in, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: highest(t, in) + most, Max: before.Max}))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	p := capturedGroup(t, all...)
	if len(p.Obstacles) > 0 || len(p.Objects) != members*pipes || len(p.Memory) != members*pipes {
		t.Errorf("%d pipes, %d memory objects, obstacles: %v", len(p.Objects), len(p.Memory), p.Obstacles)
	}
	for _, c := range p.Contents() {
		s, err := c.Open()
		must(t, err)
		s.Close()
	}
}

func highest(t *testing.T, entries []os.DirEntry) (number uint64) {
	t.Helper()
	for _, e := range entries {
		var n uint64
		must(t, second(fmt.Sscan(e.Name(), &n)))
		number = max(number, n)
	}
	return number
}
