package program

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// small is a set of one process with two threads. It has each kind of instruction and argument.
func small() *Set {
	s := &Set{Control: 9, Staging: 2 * pageSize}
	leader := s.Build("pid 412")
	restart := s.Variable(make([]byte, 32))
	s.Point(restart, Area)
	counter := s.Variable(make([]byte, 4))
	dir := leader.Call(unix.SYS_OPENAT, Const(unix.AT_FDCWD), s.String("/etc"), Const(unix.O_PATH)).Keep()
	leader.Call(unix.SYS_FCHDIR, dir.Arg()).Note("the working directory")
	leader.Call(unix.SYS_MUNMAP, Const(0), Area)
	leader.Call(unix.SYS_MUNMAP, AreaEnd, Beyond(1<<47-pageSize)).Note("everything above")
	leader.Call(unix.SYS_MMAP, Const(0x400000), Const(0x1000), Const(unix.PROT_READ|unix.PROT_WRITE),
		Const(unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED_NOREPLACE), Const(-1), Const(0)).Want(0x400000)
	leader.Call(unix.SYS_MREMAP, Staging.At(pageSize), Const(0x1000), Const(0x1000),
		Const(unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED), Const(0x500000)).Want(0x500000).Note("[vdso]")
	leader.Call(unix.SYS_DUP3, Const(12), Const(3), Const(unix.O_CLOEXEC)).Want(3)
	leader.Call(unix.SYS_CLOSE_RANGE, Const(10), Const(uint32(1<<32-1)), Const(0)).Any()
	leader.Call(unix.SYS_PRCTL, Const(unix.PR_SET_NAME), s.String("app")).MayFail()
	thread := s.Build("thread 413")
	thread.Arrive(counter, 1).Jump(0x7fff0040, restart)
	leader.Thread(thread.Number, 413, unix.CLONE_VM|unix.CLONE_THREAD|unix.CLONE_SETTLS, 0x7f0000001000, 0x7f00000012d0)
	leader.Await(counter, 1).Jump(0x7fff0000, restart)
	return s
}

func TestPrint(t *testing.T) {
	want := `all processes report on 9

program 0: pid 412
    0  r0 := openat(-100, "/etc", 0x200000)
    1  fchdir(r0)  # the working directory
    2  munmap(0x0, area)
    3  munmap(area.end, 0x7ffffffff000-area.end)  # everything above
    4  mmap(0x400000, 0x1000, rw-, PRIVATE|ANONYMOUS|FIXED_NOREPLACE, -1, 0x0) = 0x400000
    5  mremap(staging+0x1000, 0x1000, 0x1000, MAYMOVE|FIXED, 0x500000) = 0x500000  # [vdso]
    6  dup3(12, 3, O_CLOEXEC) = 3
    7  close_range(10, 0xffffffff) = any
    8  prctl(SET_NAME, "app", 0, 0, 0) may fail
    9  thread(1, 413, VM|THREAD|SETTLS, 0x7f0000001000, 0x7f00000012d0)
   10  await(data+0x20, 1)
   11  jump(0x7fff0000, data+0x0)

program 1: thread 413
    0  arrive(data+0x20, 1)
    1  jump(0x7fff0040, data+0x0)
`
	var got bytes.Buffer
	if err := small().Print(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestCheck adds one fault at a time to a good set.
func TestCheck(t *testing.T) {
	const area = 0x10000000
	tests := []struct {
		name  string
		spoil func(s *Set, b *Builder)
		want  string
	}{
		{"good", func(*Set, *Builder) {}, ""},
		{"map over the interpreter", func(_ *Set, b *Builder) {
			b.Call(unix.SYS_MMAP, Const(area-pageSize), Const(2*pageSize), Const(0), Const(0), Const(-1), Const(0))
		}, "is in the interpreter's area"},
		{"unmap the interpreter", func(_ *Set, b *Builder) {
			b.Call(unix.SYS_MUNMAP, Const(0), Const(uint64(1)<<47))
		}, "is in the interpreter's area"},
		{"move onto the interpreter", func(_ *Set, b *Builder) {
			b.Call(unix.SYS_MREMAP, Staging, Const(pageSize), Const(pageSize), Const(3), Const(area))
		}, "is in the interpreter's area"},
		{"result of nothing", func(s *Set, b *Builder) { b.Call(unix.SYS_CLOSE, Slot(5).Arg()) }, "result 5 does not exist yet"},
		{"beyond the data", func(s *Set, b *Builder) {
			b.Call(unix.SYS_CHDIR, Arg{Kind: ArgData, Value: 1 << 20})
		}, "outside the data"},
		{"no such program", func(_ *Set, b *Builder) { b.Thread(7, 414, 0, 0, 0) }, "no program 7"},
		{"counter", func(_ *Set, b *Builder) { b.Await(Const(0x1000), 1) }, "the counter is not in the data"},
		{"unknown operation", func(_ *Set, b *Builder) { b.Do(Instruction{Op: 99, Slot: NoSlot}) }, "unknown operation 99"},
		{"overwritten descriptor", func(_ *Set, b *Builder) {
			b.Call(unix.SYS_DUP3, Const(20), Const(21), Const(0)).Call(unix.SYS_DUP3, Const(21), Const(22), Const(0))
		}, "descriptor 21 was overwritten or closed"},
		{"closed descriptor", func(_ *Set, b *Builder) {
			b.Call(unix.SYS_CLOSE_RANGE, Const(20), Const(30), Const(0)).Call(unix.SYS_DUP3, Const(25), Const(5), Const(0))
		}, "descriptor 25 was overwritten or closed"},
		{"onto itself", func(_ *Set, b *Builder) { b.Call(unix.SYS_DUP3, Const(20), Const(20), Const(0)) }, "is copied onto itself"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := small()
			b := s.Build("spoilt")
			test.spoil(s, b)
			b.Call(unix.SYS_EXIT, Const(0))
			err := s.Check(s.Measure(4096).Move(area))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	s := small()
	s.Build("endless").Call(unix.SYS_GETPID)
	if err := s.Check(s.Measure(4096).Move(area)); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("a program without end: %v", err)
	}
}

func TestBytes(t *testing.T) {
	s := &Set{}
	a, b, own := s.String("x"), s.String("x"), s.Variable([]byte("x\x00"))
	if a != b || own == a {
		t.Errorf("%v %v %v: equal data for reading is kept once, data to write to is not", a, b, own)
	}
}
