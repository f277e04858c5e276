package proc

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Both ways of reading the pagemap must agree on memory whose state is known.
func TestPagemap(t *testing.T) {
	page := os.Getpagesize()
	mem, err := unix.Mmap(-1, 0, 64*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	if err := unix.Madvise(mem, unix.MADV_NOHUGEPAGE); err != nil {
		t.Fatal(err)
	}
	base := uint64(uintptr(unsafe.Pointer(&mem[0])))
	for _, i := range []int{1, 2, 9, 63} {
		mem[i*page] = 1
	}
	at := func(from, to int) Range { return Range{base + uint64(from*page), base + uint64(to*page)} }
	want := []Range{at(1, 3), at(9, 10), at(63, 64)}
	for _, words := range []bool{false, true} {
		p, err := OpenPagemap(0)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if !words && p.words {
			t.Log("this kernel has no PAGEMAP_SCAN (Linux 6.7)")
			continue
		}
		p.words = words
		got, err := p.Pages(base, base+uint64(len(mem)), Anonymous)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("words=%v: (-want +got)\n%s", words, diff)
		}
	}
}

// Pages of a private file mapping are saved if the process wrote to them. Anonymous pages are saved if they are present. An
// anonymous page that was only read may be listed or not, because not every kernel has a shared zero page.
func TestPagemapSaved(t *testing.T) {
	page := os.Getpagesize()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(8 * page)); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, 8*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	anonymous, err := unix.Mmap(-1, 0, 8*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(anonymous)
	if err := unix.Madvise(anonymous, unix.MADV_NOHUGEPAGE); err != nil {
		t.Fatal(err)
	}
	const read, zeroed, written = 1, 3, 5
	for _, b := range [][]byte{mem, anonymous} {
		sum := b[read*page]
		b[zeroed*page] = 0
		b[written*page] = sum + 1
	}
	p, err := OpenPagemap(0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	check := func(mem []byte, what Saved, mayList ...uint64) {
		t.Helper()
		base := uint64(uintptr(unsafe.Pointer(&mem[0])))
		found, err := p.Pages(base, base+uint64(len(mem)), what)
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, r := range found {
			for at := r.Start; at < r.End; at += uint64(page) {
				if n := (at - base) / uint64(page); !slices.Contains(mayList, n) {
					got = append(got, n)
				}
			}
		}
		if diff := cmp.Diff([]uint64{zeroed, written}, got); diff != "" {
			t.Errorf("%v (-want +got)\n%s", what, diff)
		}
	}
	for range 2 {
		check(mem, PrivateFile)
		check(anonymous, Anonymous, read)
		p.words = true // the words do not show the zero page either
	}
}

// There are more regions than the kernel collects in one step, which is 512, and more than one call returns.
func TestPagemapMany(t *testing.T) {
	for _, n := range []int{1000, 2*regionsMax + 10, regionsMax + 1000} {
		testPagemapMany(t, n)
	}
}

func testPagemapMany(t *testing.T, n int) {
	page := os.Getpagesize()
	mem, err := unix.Mmap(-1, 0, 2*n*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	if err := unix.Madvise(mem, unix.MADV_NOHUGEPAGE); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		mem[2*i*page] = 1
	}
	base := uint64(uintptr(unsafe.Pointer(&mem[0])))
	for _, words := range []bool{false, true} {
		p, err := OpenPagemap(0)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		p.words = p.words || words
		got, err := p.Pages(base, base+uint64(len(mem)), Anonymous)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != n {
			t.Errorf("words=%v: %d ranges, want %d", words, len(got), n)
		}
		if !slices.IsSortedFunc(got, func(a, b Range) int { return int(int64(a.Start - b.Start)) }) {
			t.Errorf("words=%v: not in order", words)
		}
	}
}

// The parsers must accept the files of the test's own process.
func TestSelf(t *testing.T) {
	maps, err := Read(0, "maps", Maps)
	if err != nil || len(maps) == 0 {
		t.Errorf("maps: %d, %v", len(maps), err)
	}
	smaps, err := Read(0, "smaps", Smaps)
	if err != nil || len(smaps) == 0 || len(smaps[0].VmFlags) == 0 || smaps[0].KernelPageSize == 0 {
		t.Errorf("smaps: %d, %v", len(smaps), err)
	}
	status, err := Read(0, "status", Status)
	if err != nil || status.Pid != os.Getpid() || status.PPid != os.Getppid() {
		t.Errorf("status: %+v, %v", status, err)
	}
	stat, err := Read(0, "stat", Stat)
	if err != nil || stat.Pid != os.Getpid() || stat.Comm != status.Name || stat.Threads < 1 {
		t.Errorf("stat: %+v, %v", stat, err)
	}
	if _, err := Read(0, "timers", Timers); err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
	if _, err := Read(0, "mountinfo", Mountinfo); err != nil {
		t.Error(err)
	}
	if s, err := Read(0, "task/"+strconv.Itoa(unix.Gettid())+"/syscall", Syscall); err != nil && !os.IsNotExist(err) && !os.IsPermission(err) {
		t.Errorf("syscall: %+v, %v", s, err)
	}
	tids, err := Tasks(0)
	if err != nil || len(tids) == 0 {
		t.Errorf("tasks: %v, %v", tids, err)
	}
	fds, err := Fds(0)
	if err != nil || len(fds) == 0 {
		t.Errorf("fds: %v, %v", fds, err)
	}
	for _, fd := range fds {
		if _, err := Read(0, "fdinfo/"+strconv.Itoa(fd), Fdinfo); err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	}
}

// Guard pages are listed by Guards, and are not saved.
func TestPagemapGuard(t *testing.T) {
	const guardInstall = 102 // MADV_GUARD_INSTALL
	page := os.Getpagesize()
	mem, err := unix.Mmap(-1, 0, 8*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	mem[0], mem[5*page] = 1, 1
	if err := unix.Madvise(mem[2*page:4*page], guardInstall); err != nil {
		t.Skipf("kernel: no MADV_GUARD_INSTALL (Linux 6.13): %v", err)
	}
	p, err := OpenPagemap(0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.known&Guard == 0 {
		t.Skip("kernel: PAGEMAP_SCAN does not know guard pages (Linux 6.15)")
	}
	base := uint64(uintptr(unsafe.Pointer(&mem[0])))
	at := func(from, to int) Range { return Range{base + uint64(from*page), base + uint64(to*page)} }
	guards, err := p.Guards(base, base+uint64(len(mem)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Range{at(2, 4)}, guards); diff != "" {
		t.Errorf("guards (-want +got)\n%s", diff)
	}
	saved, err := p.Pages(base, base+uint64(len(mem)), Anonymous)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range saved {
		if r.Start < base+uint64(4*page) && r.End > base+uint64(2*page) {
			t.Errorf("saved: %x-%x is a guard page", r.Start, r.End)
		}
	}
}
