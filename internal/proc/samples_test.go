package proc

import (
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// Every parser is tested on files that a kernel wrote (Linux 6.18 unless stated otherwise), and on malformed ones with one
// fault each. want is the value, or the text of the error.
func TestMaps(t *testing.T) {
	const rw, rx = unix.PROT_READ | unix.PROT_WRITE, unix.PROT_READ | unix.PROT_EXEC
	run(t, Maps, []sample[[]Mapping]{
		{"none", "", nil, ""},
		{"anonymous", "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n",
			[]Mapping{{Start: 0x7f0000000000, End: 0x7f0000001000, Prot: rw}}, ""},
		{"file", "55d5e6a14000-55d5e6a19000 r-xp 00002000 fe:10 9437212                    /usr/bin/a b\\012c\n",
			[]Mapping{{Start: 0x55d5e6a14000, End: 0x55d5e6a19000, Prot: rx, Offset: 0x2000, Major: 0xfe, Minor: 0x10, Inode: 9437212, Path: "/usr/bin/a b\nc"}}, ""},
		{"memfd", "7f7c-7f7d rw-s 00000000 00:01 2054                       /memfd:x y (deleted)\n",
			[]Mapping{{Start: 0x7f7c, End: 0x7f7d, Prot: rw, Shared: true, Minor: 1, Inode: 2054, Path: "/memfd:x y", Deleted: true}}, ""},
		{"sysv", "1000-2000 rw-s 00000000 00:01 0                          /SYSV00000000 (deleted)\n",
			[]Mapping{{Start: 0x1000, End: 0x2000, Prot: rw, Shared: true, Minor: 1, Path: "/SYSV00000000", Deleted: true}}, ""},
		{"named", "1000-2000 ---p 00000000 00:00 0                          [anon:a (deleted)]\nffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n",
			[]Mapping{{Start: 0x1000, End: 0x2000, Path: "[anon:a (deleted)]"}, {Start: 0xffffffffff600000, End: 0xffffffffff601000, Prot: unix.PROT_EXEC, Path: "[vsyscall]"}}, ""},
		{"short", "1000-2000 rw-p\n", nil, `maps line 1 "1000-2000 rw-p": too few fields`},
		{"start", "x-2000 rw-p 0 00:00 0\n", nil, `maps line 1 "x-2000 rw-p 0 00:00 0": bad start address`},
		{"end", "1000 rw-p 0 00:00 0\n", nil, `maps line 1 "1000 rw-p 0 00:00 0": bad end address`},
		{"range", "2000-1000 rw-p 0 00:00 0\n", nil, `maps line 1 "2000-1000 rw-p 0 00:00 0": bad range`},
		{"permissions", "1000-2000 rq-p 0 00:00 0\n", nil, `maps line 1 "1000-2000 rq-p 0 00:00 0": bad permissions`},
		{"sharing", "1000-2000 rw-x 0 00:00 0\n", nil, `maps line 1 "1000-2000 rw-x 0 00:00 0": bad permissions`},
		{"device", "1000-2000 rw-p 0 0000 0\n", nil, `maps line 1 "1000-2000 rw-p 0 0000 0": bad device`},
		{"inode", "1000-2000 rw-p 0 00:00 x\n", nil, `maps line 1 "1000-2000 rw-p 0 00:00 x": bad inode`},
	})
}

func TestSmaps(t *testing.T) {
	const text = `7f00-8f00 rw-p 00000000 00:00 0                          [heap]
Size:                 64 kB
KernelPageSize:        4 kB
Rss:                  12 kB
Swap:                  8 kB
THPeligible:           0
VmFlags: rd wr mr mw me ac sd 
9000-a000 ---p 00000000 00:00 0 
`
	run(t, Smaps, []sample[[]SmapsEntry]{
		{"two", text, []SmapsEntry{
			{Mapping: Mapping{Start: 0x7f00, End: 0x8f00, Prot: 3, Path: "[heap]"}, KernelPageSize: 4096, Rss: 12 << 10, Swap: 8 << 10,
				VmFlags: "rd wr mr mw me ac sd"},
			{Mapping: Mapping{Start: 0x9000, End: 0xa000}},
		}, ""},
		{"headless", "Rss: 4 kB\n", nil, `smaps line 1 "Rss: 4 kB": no mapping before it`},
		{"unit", "1000-2000 ---p 0 00:00 0\nRss: 4\n", nil, `smaps line 2 "Rss: 4": bad size`},
	})
}

func TestStatus(t *testing.T) {
	const text = "Name:\ta) (b\\nc\\\\\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t6230\nNgid:\t0\nPid:\t6231\nPPid:\t6222\nTracerPid:\t7\n" +
		"Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t256\nGroups:\t4 24 \nNStgid:\t6230\t1\nNSpid:\t6231\t2\nNSpgid:\t6230\t0\nNSsid:\t6230\t1\nKthread:\t0\nVmLck:\t       8 kB\nVmRSS:\t    1680 kB\nRssAnon:\t     96 kB\nVmPTE:\t      48 kB\n" +
		"Threads:\t2\nSigQ:\t1/96365\nSigPnd:\t0000000000000001\nShdPnd:\t0000000000000002\nSigBlk:\tfffffffe7ffbfeff\nSigIgn:\t0000000000001000\nSigCgt:\t0000000180004002\n" +
		"CapInh:\t0000000000000001\nCapPrm:\t000001fffeffffff\nCapEff:\t0000000000000003\nCapBnd:\t0000000000000004\nCapAmb:\t0000000000000005\nNoNewPrivs:\t1\nSeccomp:\t2\nSpeculation_Store_Bypass:\tthread mitigated\nSpeculationIndirectBranch:\tconditional enabled\n" +
		"untag_mask:\t0xffffffffffffffff\nx86_Thread_features:\tshstk wrss \nx86_Thread_features_locked:\tshstk\nCpus_allowed_list:\t0-1\nvoluntary_ctxt_switches:\t11\nnonvoluntary_ctxt_switches:\t3\n"
	run(t, Status, []sample[StatusInfo]{
		{"thread", text, StatusInfo{
			Name: "a) (b\nc\\", Umask: 0o22, State: 'S', Tgid: 6230, Pid: 6231, PPid: 6222, TracerPid: 7, NSpid: []int{6231, 2}, NSpgid: []int{6230, 0}, NSsid: []int{6230, 1},
			Uid: [4]uint32{1, 2, 3, 4}, Gid: [4]uint32{5, 6, 7, 8}, Groups: []uint32{4, 24}, VmLck: 8 << 10, VmRSS: 1680 << 10, RssAnon: 96 << 10, VmPTE: 48 << 10,
			Threads: 2, SigQ: 1, SigLimit: 96365, SigPnd: 1, ShdPnd: 2, SigBlk: 0xfffffffe7ffbfeff, SigIgn: 0x1000, SigCgt: 0x180004002,
			CapInh: 1, CapPrm: 0x1fffeffffff, CapEff: 3, CapBnd: 4, CapAmb: 5, NoNewPrivs: true, Seccomp: 2, StoreBypass: "thread mitigated", IndirectBranch: "conditional enabled",
			ThreadFeatures: "shstk wrss", UntagMask: 1<<64 - 1,
			VoluntarySwitches: 11, InvoluntarySwitches: 3,
		}, ""},
		{"zombie", "Name:\tx\nState:\tZ (zombie)\nTgid:\t5\nPid:\t5\nPPid:\t1\n", StatusInfo{Name: "x", State: 'Z', Tgid: 5, Pid: 5, PPid: 1}, ""},
		{"empty", "", StatusInfo{}, "status: State, Tgid or Pid is missing"},
		{"colon", "Name\n", StatusInfo{}, `status line 1 "Name": no colon`},
		{"ids", "Uid:\t1\t2\n", StatusInfo{}, `status line 1 "Uid:\t1\t2": bad ids`},
		{"mask", "SigCgt:\tx\n", StatusInfo{}, `status line 1 "SigCgt:\tx": bad mask`},
		{"state", "State:\t\n", StatusInfo{}, `status line 1 "State:\t": bad state`},
	})
}

func TestStat(t *testing.T) {
	const tail = " S 6222 6223 2567 34816 6224 4194304 83 423 0 1 2 3 4 5 20 -5 2 0 151010 2400256 338 18446744073709551615 93994210099200 93994210100141 140735587312256 6 7 256 65536 6 0 1 0 0 17 1 50 2 8 9 10 93994210110928 93994210111584 93995026243584 140735587318468 140735587318475 140735587318476 140735587319793 256\n"
	run(t, Stat, []sample[StatInfo]{
		{"comm", "6230 (a) (b\nc\\)" + tail, StatInfo{
			Pid: 6230, Comm: "a) (b\nc\\", State: 'S', PPid: 6222, Pgrp: 6223, Session: 2567, TTY: 34816, Tpgid: 6224, Flags: 4194304,
			MinorFaults: 83, ChildMinor: 423, ChildMajor: 1, Utime: 2, Stime: 3, ChildUtime: 4, ChildStime: 5, Priority: 20, Nice: -5, Threads: 2,
			StartTime: 151010, Vsize: 2400256, RssPages: 338, RssLimit: math.MaxUint64,
			StartCode: 93994210099200, EndCode: 93994210100141, StartStack: 140735587312256, KstkEsp: 6, KstkEip: 7, Signals: 256,
			ExitSignal: 17, Processor: 1, RtPriority: 50, Policy: 2, BlkioTicks: 8, GuestTime: 9, ChildGuest: 10,
			StartData: 93994210110928, EndData: 93994210111584, StartBrk: 93995026243584,
			ArgStart: 140735587318468, ArgEnd: 140735587318475, EnvStart: 140735587318476, EnvEnd: 140735587319793, ExitCode: 256,
		}, ""},
		{"no comm", "12 S 1", StatInfo{}, `stat "12 S 1": no comm`},
		{"short", "12 (a) S 1", StatInfo{}, `stat "12 (a) S 1": 2 fields after the comm, want 50`},
		{"pid", "x (a)" + tail, StatInfo{}, "bad pid"},
		{"field", "1 (a)" + strings.Replace(tail, " 6222 ", " ? ", 1), StatInfo{}, "bad field 4"},
	})
}

func TestFdinfo(t *testing.T) {
	run(t, Fdinfo, []sample[FdInfo]{
		{"locks", "pos:\t12\nflags:\t02100002\nmnt_id:\t27\nino:\t9977941\nlock:\t1: POSIX  ADVISORY  WRITE 6243 fe:00:9977941 5 14\nlock:\t2: FLOCK  ADVISORY  READ -1 fe:00:9977941 0 EOF\nlock:\t3: -> OFDLCK ADVISORY  READ 7 fe:00:9977941 0 EOF\n",
			FdInfo{Pos: 12, Flags: 0o2100002, MountID: 27, Inode: 9977941, Locks: []FileLock{
				{Type: "POSIX", Mode: "ADVISORY", Access: "WRITE", Pid: 6243, Major: 0xfe, Inode: 9977941, Start: 5, End: 14},
				{Type: "FLOCK", Mode: "ADVISORY", Access: "READ", Pid: -1, Major: 0xfe, Inode: 9977941, End: -1},
				{Type: "OFDLCK", Mode: "ADVISORY", Access: "READ", Blocked: true, Pid: 7, Major: 0xfe, Inode: 9977941, End: -1},
			}}, ""},
		{"epoll", "pos:\t0\nflags:\t02\nmnt_id:\t17\nino:\t1039\ntfd:        4 events:       1d data:               4d  pos:0 ino:40f sdev:10\n",
			FdInfo{Flags: 2, MountID: 17, Inode: 1039, Extra: []Field{{"tfd", "4 events:       1d data:               4d  pos:0 ino:40f sdev:10"}}}, ""},
		{"eventfd", "eventfd-count:               2a\neventfd-id: 1\n", FdInfo{Extra: []Field{{"eventfd-count", "2a"}, {"eventfd-id", "1"}}}, ""},
		{"inotify", "inotify wd:1 ino:3c4a3 sdev:fe00000\n", FdInfo{Extra: []Field{{"inotify", "wd:1 ino:3c4a3 sdev:fe00000"}}}, ""},
		{"flags", "flags:\t9\n", FdInfo{}, `fdinfo line 1 "flags:\t9": bad flags`},
		{"lock", "lock:\t1: POSIX\n", FdInfo{}, `fdinfo line 1 "lock:\t1: POSIX": bad lock`},
		{"lock file", "lock:\t1: POSIX  ADVISORY  WRITE 6243 fe:00 5 14\n", FdInfo{}, "bad file of the lock"},
	})
}

func TestTimers(t *testing.T) {
	run(t, Timers, []sample[[]Timer]{
		{"three", "ID: 2\nsignal: 40/0000000000000000\nnotify: signal/tid.6230\nClockID: 0\nID: 1\nsignal: 40/(null)\nnotify: none/pid.6230\nClockID: 0\nID: 0\nsignal: 40/0000000000001234\nnotify: thread/pid.6230\nClockID: 1\n",
			[]Timer{{ID: 2, Signal: 40, ThreadID: true, Target: 6230}, {ID: 1, Signal: 40, Notify: SigevNone, Target: 6230}, {ID: 0, Signal: 40, Value: 0x1234, Notify: SigevThread, Target: 6230, Clock: 1}}, ""},
		{"headless", "signal: 1/0\n", nil, `timers line 1 "signal: 1/0": no ID before it`},
		{"notify", "ID: 1\nnotify: x/pid.1\n", nil, `timers line 2 "notify: x/pid.1": bad notification`},
	})
}

func TestSyscall(t *testing.T) {
	run(t, Syscall, []sample[SyscallInfo]{
		{"running", "running\n", SyscallInfo{Running: true, Number: -1}, ""},
		{"asleep", "61 0x185d 0x7fff8eb05c78 0x0 0x0 0x1 0x0 0x7fff8eb05c68 0x7f055b836bd3\n",
			SyscallInfo{Number: 61, Args: [6]uint64{0x185d, 0x7fff8eb05c78, 0, 0, 1, 0}, SP: 0x7fff8eb05c68, PC: 0x7f055b836bd3}, ""},
		{"stopped", "-1 0x10 0x20\n", SyscallInfo{Number: -1, SP: 0x10, PC: 0x20}, ""},
		{"empty", "", SyscallInfo{}, `syscall line 0 "": no line`},
		{"fields", "1 2\n", SyscallInfo{}, `syscall line 1 "1 2": neither 1, 3 nor 9 fields`},
		{"hex", "-1 10 0x20\n", SyscallInfo{}, "bad stack pointer"},
	})
}

func TestMountinfo(t *testing.T) {
	run(t, Mountinfo, []sample[[]Mount]{
		{"two", "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs\n",
			[]Mount{{ID: 36, Parent: 35, Major: 98, Root: "/mnt1", Point: "/mnt 2", Options: "rw,noatime", Type: "ext3", Source: "/dev/root", SuperBlock: "rw,errors=continue"},
				{ID: 24, Parent: 27, Minor: 6, Root: "/", Point: "/dev", Options: "rw,relatime", Type: "devtmpfs", Source: "devtmpfs"}}, ""},
		{"short", "36 35 98:0 / /mnt rw\n", nil, "too few fields"},
	})
}

type sample[T any] struct {
	name string
	text string
	want T
	err  string // part of the error's text; "" for none
}

func run[T any](t *testing.T, parse func(io.Reader) (T, error), samples []sample[T]) {
	t.Helper()
	for _, s := range samples {
		t.Run(s.name, func(t *testing.T) {
			got, err := parse(strings.NewReader(s.text))
			if s.err != "" {
				if err == nil || !strings.Contains(err.Error(), s.err) {
					t.Fatalf("error %v, want %q", err, s.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
