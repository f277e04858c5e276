package compile

import (
	"bytes"
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/handmade"
	"crak.dev/crak/restore/program"
)

var update = flag.Bool("update", false, "write the golden programs anew")

// fixed is a target that does not depend on this machine.
func fixed(g *image.Group) (*Target, []*Process) {
	t, all := Plan(g)
	t.Kernel = []proc.Mapping{
		{Start: 0x7ffff7ff9000, End: 0x7ffff7ffd000, Path: "[vvar]"},
		{Start: 0x7ffff7ffd000, End: 0x7ffff7fff000, Path: "[vdso]"},
	}
	t.Credentials = g.Processes[0].Threads[0].Credentials
	all[0].Filled = map[int]bool{0: true, 1: true}
	t.HardLimits = map[int]uint64{unix.RLIMIT_NOFILE: 20000, unix.RLIMIT_STACK: unix.RLIM_INFINITY}
	t.Now = func(clock int32) (int64, bool) { return 1e12, clock == unix.CLOCK_MONOTONIC }
	t.TimerIDs = true
	t.Mode = Mode{Group: OwnGroup, First: g.Root == 1}
	return t, all
}

func pendingInfo(signal int32, code int32, id int32) image.SignalInfo {
	info := make([]byte, 128)
	n := binary.NativeEndian
	n.PutUint32(info, uint32(signal))
	n.PutUint32(info[8:], uint32(code))
	n.PutUint32(info[16:], uint32(id))
	return info
}

// owner are the IDs and capabilities of every process here. They are not those of the user who runs the tests: the golden programs
// must be the same for every user.
var owner = image.Credentials{Bounding: 7, Permitted: 7, Effective: 7}

// fixedGroup is a group of one process.
func fixedGroup() *image.Group { return handmade.Group(412, owner) }

func withMemory(g *image.Group) {
	lib := &image.File{Path: "/lib/x.so"}
	g.Memory = []image.MemoryObject{
		{ID: 1, Kind: image.MemoryAnonymous, Size: 0x5000},
		{ID: 2, Kind: image.MemoryMemfd, Name: "m", Size: 0x1000},
		{ID: 3, Kind: image.MemorySysV, Size: 0x2000, SysV: &image.SysV{ID: 7}},
	}
	p := &g.Processes[0]
	at := image.Address(0x7f_1000_0000)
	add := func(pages image.Address, m image.Mapping) {
		m.Start, m.End = at, at+pages*image.PageSize
		at = m.End + image.PageSize
		p.Mappings = append(p.Mappings, m)
	}
	add(2, image.Mapping{Prot: 5, Kind: image.MappingFile, File: lib, Offset: 0x1000})
	add(1, image.Mapping{Prot: 3, Kind: image.MappingFile, File: lib, Shared: true, Writable: true})
	add(1, image.Mapping{Prot: 1, Kind: image.MappingFile, File: lib, SelfContained: true})
	add(2, image.Mapping{Prot: 1, Kind: image.MappingMemory, Memory: 1, Shared: true, Offset: 0x1000})
	add(1, image.Mapping{Prot: 3, Kind: image.MappingMemory, Memory: 2, Shared: true})
	add(2, image.Mapping{Prot: 1, Kind: image.MappingMemory, Memory: 3, Shared: true})
	add(1, image.Mapping{Prot: 3, Kind: image.MappingMemory, Memory: 3, Shared: true, Writable: true})
	add(512, image.Mapping{Prot: 3, Kind: image.MappingAnonymous, HugePageSize: 2 << 20})
	add(4, image.Mapping{Prot: 3, Kind: image.MappingAnonymous, NoReserve: true, HugePage: true, Locked: true, DontDump: true, Name: "[anon:arena]"})
	add(4, image.Mapping{Kind: image.MappingAnonymous, DontFork: true, LockOnFault: true, Guards: []image.Range{{Start: at, End: at + image.PageSize}}})
	add(3, image.Mapping{Prot: 3, Kind: image.MappingAIO, Shared: true, Events: make([]byte, 2*image.AIOEventSize)})
	add(33, image.Mapping{Prot: 3, Kind: image.MappingAnonymous, GrowsDown: true, Name: "[stack]"})
	add(4, image.Mapping{Prot: 1, Kind: image.MappingKernel, Name: "[vvar]"})
	add(2, image.Mapping{Prot: 5, Kind: image.MappingKernel, Name: "[vdso]"})
}

func withSignals(g *image.Group) {
	p := &g.Processes[0]
	p.Actions[unix.SIGUSR1-1] = image.SignalAction{Handler: handmade.CodeAt, Flags: 4, Restorer: handmade.CodeAt + 16, Mask: 1}
	p.Pending = []image.SignalInfo{pendingInfo(10, -1, 0), pendingInfo(36, -2, 5), pendingInfo(37, -2, 0)}
	p.Intervals[0] = image.IntervalTimer{IntervalUs: 1_500_000, ValueUs: 250_000}
	p.Timers = []image.PosixTimer{
		{ID: 0, Clock: unix.CLOCK_REALTIME, Signal: 37},
		{ID: 5, Clock: unix.CLOCK_MONOTONIC, Signal: 36, IntervalNs: 1e9, ValueNs: 3e8},
	}
}

func withThreads(g *image.Group) {
	p := &g.Processes[0]
	leader := &p.Threads[0]
	leader.Parked.FsBase, leader.Parked.TidAddress = 0x7f_0000_1740, 0x7f_0000_1a10
	leader.Parked.RobustList, leader.Parked.RobustLength = 0x7f_0000_1a20, 24
	leader.Parked.Rseq, leader.Parked.RseqLength, leader.Parked.RseqSignature = 0x7f_0000_20a0, 32, 0x53053053
	leader.Parked.TimerSlack = 50000
	leader.Affinity = []uint64{3}
	other := *leader
	other.Parked.Tid, other.Parked.Flags, other.Comm = 413, 0, "worker"
	other.Parked.GsBase, other.Parked.DeathSignal, other.IOPriority = 0x1000, 9, 0x4003
	other.Schedule = image.Schedule{Policy: 1, Priority: 10, UtilMin: 1024, UtilMax: 1024}
	clamped := *leader
	clamped.Parked.Tid, clamped.Parked.Flags = 414, 0
	clamped.Schedule = image.Schedule{UtilMin: 100, UtilMax: 512}
	clamped.Speculation = image.Speculation{StoreBypass: unix.PR_SPEC_DISABLE, IndirectBranch: unix.PR_SPEC_FORCE_DISABLE}
	other.Pending = []image.SignalInfo{pendingInfo(12, -6, 0)}
	other.Credentials.UID = [4]uint32{1000, 1000, 1000, 1000}
	other.Credentials.Groups = []uint32{27, 1000}
	other.Credentials.Permitted, other.Credentials.Effective, other.Credentials.Ambient = 1, 1, 1
	other.Credentials.NoNewPrivs = true
	p.Threads = append(p.Threads, other, clamped)
}

func withDeadLeader(g *image.Group) {
	withThreads(g)
	p := &g.Processes[0]
	p.Threads[0].Parked = abi.Thread{Tid: 412, Flags: abi.ThreadDead, Syscall: -1}
	p.Threads[1].Parked.Flags = abi.ThreadInitiator
}

func withDescriptors(g *image.Group) {
	g.Descriptions = []image.Description{
		{ID: 1, Kind: "device"},
		{ID: 2, Kind: "file", Flags: unix.O_RDWR | unix.O_ASYNC, Owner: &image.Owner{Type: 1, Pid: 412, Signal: 40},
			Locks: []image.Lock{{Type: "POSIX", Write: true, Pid: 412, Start: 10, End: 19}, {Type: "FLOCK", Pid: 412}}},
	}
	p := &g.Processes[0]
	p.Descriptors = []image.Descriptor{{Fd: 0, Description: 1}, {Fd: 3, Description: 2, CloseOnExec: true}, {Fd: 7, Description: 2}}
	p.Limits = []image.Limit{{Resource: unix.RLIMIT_NOFILE, Soft: 1024, Hard: 1 << 20}, {Resource: unix.RLIMIT_STACK, Soft: 8 << 20, Hard: unix.RLIM_INFINITY}}
	p.Attributes = image.Attributes{Personality: 0x40000, ChildSubreaper: true, THPDisable: true, MDWE: 1}
}

// asFirst makes the process process 1 of a PID namespace.
func asFirst(g *image.Group) {
	p := &g.Processes[0]
	g.Root, p.Pid, p.ProcessGroup, p.Session, p.Threads[0].Parked.Tid = 1, 1, 1, 1, 1
}

// TestCompile compares programs with those in testdata.
func TestCompile(t *testing.T) {
	tests := map[string]func(g *image.Group){
		"plain": func(*image.Group) {}, "memory": withMemory, "signals": withSignals,
		"threads": withThreads, "dead_leader": withDeadLeader, "descriptors": withDescriptors,
		"first": asFirst,
	}
	for name, more := range tests {
		t.Run(name, func(t *testing.T) {
			g := fixedGroup()
			more(g)
			if err := g.Check(); err != nil {
				t.Fatal(err)
			}
			c, err := Programs(fixed(g))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Set.Check(c.Set.Measure(8000).Move(firstArea)); err != nil {
				t.Error(err)
			}
			compareGolden(t, filepath.Join("testdata", name+".txt"), c.Set)
		})
	}
}

// TestBatches compares a program that receives descriptions with that in testdata.
func TestBatches(t *testing.T) {
	g := fixedGroup()
	withDescriptors(g)
	for id := image.DescriptionID(3); id < 6; id++ {
		g.Descriptions = append(g.Descriptions, image.Description{ID: id, Kind: "device"})
		g.Processes[0].Descriptors = append(g.Processes[0].Descriptors, image.Descriptor{Fd: int(id) + 5, Description: id, CloseOnExec: id == 4})
	}
	target, all := fixed(g)
	target.Batches = map[image.Pid][][]image.DescriptionID{412: {{3, 4}, {5}}}
	for id := image.DescriptionID(3); id < 6; id++ {
		delete(target.Descriptions, id)
	}
	out, err := Programs(target, all)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Set.Check(out.Set.Measure(8000).Move(firstArea)); err != nil {
		t.Error(err)
	}
	compareGolden(t, filepath.Join("testdata", "batches.txt"), out.Set)
}

func compareGolden(t *testing.T, path string, set *program.Set) {
	t.Helper()
	var got bytes.Buffer
	if err := set.Print(&got); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s: -want +got (go test -update writes it anew):\n%s", path, diff)
	}
}

// TestFallbacks compiles for a kernel that chooses timer IDs itself, and for one that has no vDSO.
func TestFallbacks(t *testing.T) {
	g := fixedGroup()
	withSignals(g)
	target, all := fixed(g)
	target.TimerIDs = false
	c, err := Programs(target, all)
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "testdata/timers_old_kernel.txt", c.Set)

	g = fixedGroup()
	withMemory(g)
	target, all = fixed(g)
	target.Kernel = target.Kernel[:1]
	if _, err := Programs(target, all); err == nil {
		t.Error("a missing vDSO: no error")
	}
}
