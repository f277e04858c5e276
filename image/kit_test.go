package image

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"crak.dev/crak/internal/abi"
)

// goodGroup returns a small group with every kind of reference.
func goodGroup() *Group {
	file := File{Path: "/usr/bin/app", Device: 8, Inode: 9, Mode: 0o100755, Size: 8192, MtimeNs: 1}
	return &Group{
		Root: 412,
		Processes: []Process{{
			Pid: 412, Parent: 1, ProcessGroup: 412, Session: 412,
			Executable: file, Cwd: "/", RootDir: "/", Umask: 0o22,
			Mappings: []Mapping{
				{Start: 0x400000, End: 0x402000, Prot: 5, Kind: MappingFile, File: &file},
				{Start: 0x500000, End: 0x700000, Prot: 3, Kind: MappingAnonymous, Name: "[heap]"},
				{Start: 0x700000, End: 0x704000, Prot: 3, Kind: MappingMemory, Memory: 3, Shared: true},
				{Start: 0x7ff0_0000_0000, End: 0x7ff0_0002_0000, Prot: 3, Kind: MappingAnonymous, Name: "[stack]", GrowsDown: true},
				{Start: 0x7ff0_0010_0000, End: 0x7ff0_0010_2000, Prot: 5, Kind: MappingKernel, Name: "[vdso]"},
			},
			Threads: []Thread{{
				Parked:   abi.Thread{Tid: 412, Context: 0x7ff0_0001_0000, Frame: 0x7ff0_0001_0100, Syscall: -1},
				Comm:     "app",
				Affinity: []uint64{3},
				Pending:  []SignalInfo{make(SignalInfo, 128)},
			}},
			Actions:     make([]SignalAction, 64),
			Timers:      []PosixTimer{{ID: 0, Signal: 14, ValueNs: 5}},
			Limits:      []Limit{{Resource: 7, Soft: 1024, Hard: 4096}},
			Descriptors: []Descriptor{{Fd: 0, Description: 7}, {Fd: 3, Description: 7}},
		}},
		Descriptions: []Description{{ID: 7, Kind: "regular", Offset: 5}},
		Memory:       []MemoryObject{{ID: 3, Kind: MemoryMemfd, Name: "m", Size: 0x3800}},
		Objects:      []Object{{ID: 7, Kind: "pipe", Size: 10001}},
	}
}

// pattern fills runs with content that depends on their addresses only: one third of the pages is zero, one third can be
// compressed, one third cannot.
func pattern(dst []byte, runs []Run) error {
	for _, r := range runs {
		for at := r.Start; at < r.End(); at += PageSize {
			n := min(PageSize, r.End()-at)
			page := dst[:n]
			dst = dst[n:]
			switch at / PageSize % 3 {
			case 0:
				clear(page)
			case 1:
				for i := range page {
					page[i] = byte(at>>12) ^ byte(i>>6)
				}
			case 2:
				fillRandom(page, at)
			}
		}
	}
	return nil
}

// fillRandom is splitmix64.
func fillRandom(page []byte, seed uint64) {
	for at := 0; at < len(page); at += 8 {
		x := (seed + uint64(at) + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		copy(page[at:], binary.LittleEndian.AppendUint64(nil, x^x>>31))
	}
}

// content is content for one space.
type content struct {
	space Space
	runs  []Run
	sync  bool
}

// goodContent has frames of every codec.
var goodContent = []content{
	{ProcessSpace(412), []Run{{Start: 0x401000, Length: 0x1000, KeepZero: true}, {Start: 0x500000, Length: 0x200000}, {Start: 0x7ff0_0001_0000, Length: 0x10000, KeepZero: true}}, false},
	{MemorySpace(3), []Run{{Start: 0, Length: 0x4000}}, true},
	{ObjectSpace(7), []Run{{Start: 0, Length: 10001}}, true},
}

// goodImage writes goodGroup with goodContent, and returns the path.
func goodImage(t testing.TB, dir string, o Options) string {
	t.Helper()
	return writeImage(t, dir, o, goodContent)
}

// writeImage writes goodGroup with content from pattern.
func writeImage(t testing.TB, dir string, o Options, all []content) string {
	t.Helper()
	o.Program, o.Pid = "app", 412
	w, err := Create(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	put := uint64(0)
	for _, c := range all {
		save := w.Put
		if c.sync {
			save = w.PutSync
			for w.Progress() < put && w.failed.get() == nil { // so that frames have the same numbers each time
				runtime.Gosched()
			}
		}
		if err := save(c.space, c.runs, pattern); err != nil {
			t.Fatal(err)
		}
		put += runBytes(c.runs)
	}
	path, err := w.Commit(Manifest{Program: "app", Root: 412, Created: time.Unix(1e9, 0).UTC()}, goodGroup())
	if err != nil {
		t.Fatal(err)
	}
	return path
}
