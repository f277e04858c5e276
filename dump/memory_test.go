package dump

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

const page = image.PageSize

// mapped maps new memory into the test's own process.
func mapped(t *testing.T, fd int, length int, flags int) []byte {
	t.Helper()
	if fd < 0 {
		flags |= unix.MAP_ANONYMOUS
	}
	b, err := unix.Mmap(fd, 0, length, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return b
}

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

func readerOf(t *testing.T, pid int) *reader {
	t.Helper()
	r, err := openReader(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func TestReader(t *testing.T) {
	b := mapped(t, -1, 3000*page, unix.MAP_PRIVATE)
	var runs []image.Run
	var want []byte
	for i := range 1500 {
		b[2*i*page] = byte(i + 1)
		runs = append(runs, image.Run{Start: address(b) + uint64(2*i*page), Length: page})
		want = append(want, b[2*i*page:][:page]...)
	}
	r := readerOf(t, os.Getpid())
	got := make([]byte, len(want))
	if err := r.read(got, runs); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read: %v", err)
	}
	if err := unix.Mprotect(b, unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	clear(got)
	if err := r.read(got, runs); err != nil || !bytes.Equal(got, want) {
		t.Errorf("memory with PROT_NONE: %v", err)
	}
}

// TestReaderBehindEnd reads a mapping behind the end of a file that was truncated. The program itself would get SIGBUS there.
func TestReaderBehindEnd(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Truncate(3 * page)
	b := mapped(t, int(f.Fd()), 3*page, unix.MAP_PRIVATE)
	f.WriteAt(bytes.Repeat([]byte{7}, 2*page), 0)
	f.Truncate(page + 10)
	got := bytes.Repeat([]byte{9}, 3*page)
	if err := readerOf(t, os.Getpid()).readFile(got, at(address(b), address(b)+3*page)); err != nil {
		t.Fatal(err)
	}
	if err := readerOf(t, os.Getpid()).read(make([]byte, 3*page), at(address(b), address(b)+3*page)); !errors.Is(err, unix.EIO) {
		t.Errorf("memory that cannot be read: %v", err)
	}
	want := slices.Concat(bytes.Repeat([]byte{7}, page+10), make([]byte, 2*page-10))
	if !bytes.Equal(got, want) {
		t.Error("want the bytes of the file, then zeroes")
	}
}

// TestReaderOfDead: reading the memory of a dead process is an error, and does not return zeroes.
func TestReaderOfDead(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := readerOf(t, cmd.Process.Pid)
	in.Close()
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 10000); err != nil {
		t.Fatal(err)
	}
	if err := r.read(make([]byte, page), at(page, 2*page)); err == nil {
		t.Error("no error")
	}
	cmd.Wait()
}

// TestRuns checks which pages of a mapping are saved.
func TestRuns(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Write(bytes.Repeat([]byte{1}, 8*page))
	anonymous := mapped(t, -1, 8*page, unix.MAP_PRIVATE)
	file := mapped(t, int(f.Fd()), 8*page, unix.MAP_PRIVATE)
	if err := unix.Madvise(anonymous, unix.MADV_NOHUGEPAGE); err != nil {
		t.Fatal(err)
	}
	if file[5*page] != 1 { // reads a page of the file; whether reading makes an anonymous page present depends on the kernel
		t.Fatal("the mapping does not show the file's content")
	}
	for _, b := range [][]byte{anonymous, file} {
		b[1*page], b[2*page], b[7*page] = 3, 0, 5
	}
	pagemap, err := proc.OpenPagemap(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer pagemap.Close()
	for _, test := range []struct {
		name     string
		area     area
		keepZero bool
		want     []image.Run
	}{
		{"anonymous", area{saved: proc.Anonymous}, false, at(1*page, 3*page, 7*page, 8*page)},
		{"file", area{saved: proc.PrivateFile}, true, at(1*page, 3*page, 7*page, 8*page)},
		{"whole", area{saved: proc.PrivateFile, whole: true}, true, at(0, 8*page)},
	} {
		b := anonymous
		if test.keepZero {
			b = file
		}
		a := test.area
		a.start, a.end = address(b), address(b)+8*page
		got, err := a.runs(pagemap)
		if err != nil {
			t.Fatal(err)
		}
		want := moved(test.want, a.start)
		for i := range want {
			want[i].KeepZero = test.keepZero
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		a.end = a.start
		if got, err := a.runs(pagemap); got != nil || err != nil {
			t.Errorf("%s, empty area: %v, %v", test.name, got, err)
		}
	}
}

// TestPlan checks which mappings are read from the twin, which from the frozen program, and which not at all.
func TestPlan(t *testing.T) {
	entry := func(prot uint32) proc.SmapsEntry {
		return proc.SmapsEntry{Mapping: proc.Mapping{Start: 16 * page, End: 32 * page, Prot: prot}}
	}
	for name, test := range map[string]struct {
		mapping image.Mapping
		prot    uint32
		twin    []area
		frozen  []area
	}{
		"anonymous": {image.Mapping{Kind: image.MappingAnonymous}, unix.PROT_READ,
			[]area{{start: 16 * page, end: 32 * page, saved: proc.Anonymous}}, nil},
		"no access": {image.Mapping{Kind: image.MappingAnonymous}, 0,
			[]area{{start: 16 * page, end: 32 * page, saved: proc.Anonymous}}, nil},
		"not forked": {image.Mapping{Kind: image.MappingAnonymous, DontFork: true}, unix.PROT_READ,
			nil, []area{{start: 16 * page, end: 32 * page, saved: proc.Anonymous}}},
		"wiped": {image.Mapping{Kind: image.MappingAnonymous, WipeOnFork: true}, unix.PROT_READ,
			nil, []area{{start: 16 * page, end: 32 * page, saved: proc.Anonymous}}},
		"file": {image.Mapping{Kind: image.MappingFile, File: &image.File{}}, unix.PROT_READ,
			[]area{{start: 16 * page, end: 32 * page, saved: proc.PrivateFile}}, nil},
		"whole file": {image.Mapping{Kind: image.MappingFile, SelfContained: true, Offset: page, File: &image.File{Size: 3*page + 1}}, unix.PROT_READ,
			[]area{{start: 16 * page, end: 19 * page, saved: proc.PrivateFile, whole: true}}, nil},
		"behind the file": {image.Mapping{Kind: image.MappingFile, SelfContained: true, Offset: 9 * page, File: &image.File{Size: page}}, unix.PROT_READ,
			[]area{{start: 16 * page, end: 16 * page, saved: proc.PrivateFile, whole: true}}, nil},
		"kernel's": {image.Mapping{Kind: image.MappingKernel}, unix.PROT_READ, nil, nil},
		"shared":   {image.Mapping{Kind: image.MappingMemory, Shared: true}, unix.PROT_READ, nil, nil},
		"refused":  {image.Mapping{}, unix.PROT_READ, nil, nil},
	} {
		var p plan
		p.add(test.mapping, entry(test.prot))
		options := cmp.AllowUnexported(area{})
		if diff := cmp.Diff(test.twin, p.twin, options); diff != "" {
			t.Errorf("%s: from the twin (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(test.frozen, p.frozen, options); diff != "" {
			t.Errorf("%s: frozen (-want +got):\n%s", name, diff)
		}
	}
}

// TestSegmentZero: the inode number of a SysV segment is its ID (shmget in ipc/shm.c), and the first segment of an IPC namespace
// has ID 0. It must still be recognized as shared memory. Its size is 0 until the initiator has been asked for it.
func TestSegmentZero(t *testing.T) {
	line := "7f0000000000-7f0000200000 rw-s 00000000 00:01 0 /SYSV00000000 (deleted)\n"
	list, err := proc.Maps(strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	m := &Member{Table: &fd.Table{}}
	got, err := m.mapping(proc.SmapsEntry{Mapping: list[0]})
	if err != nil {
		t.Fatal(err)
	}
	if got.Kind != image.MappingMemory || got.Memory != 1 {
		t.Errorf("mapping of kind %q, of memory object %d", got.Kind, got.Memory)
	}
	want := []image.MemoryObject{{ID: 1, Kind: image.MemorySysV, SysV: &image.SysV{ID: 0}}}
	if diff := cmp.Diff(want, m.Table.Memory); diff != "" {
		t.Errorf("memory objects (-want +got):\n%s", diff)
	}
}

// TestSurvey surveys the test's own process, and one that does not exist.
func TestSurvey(t *testing.T) {
	var table fd.Table
	own := &Member{Pid: os.Getpid(), Live: os.Getpid(), Table: &table, Known: Known{Holders: new(fd.Holders)}}
	none := &Member{Pid: 1 << 30, Live: 1 << 30, Table: &table}
	errs := Survey([]*Member{own, none})
	if errs[0] != nil || len(own.Known.Mappings) == 0 {
		t.Errorf("own process: %v, %d mappings", errs[0], len(own.Known.Mappings))
	}
	if !errors.Is(errs[1], os.ErrNotExist) {
		t.Errorf("no such process: %v", errs[1])
	}
}
