package image

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

var brokenFiles = []vector{
	{"no manifest", func(k *kit) { k.must(os.Remove(k.path(manifestFile))) },
		`neither an image nor a directory with images`},
	{"no group", func(k *kit) { k.must(os.Remove(k.path(groupFile))) },
		`group.json: missing: file does not exist`},
	{"no index", func(k *kit) { k.must(os.Remove(k.path(indexFile))) },
		`pages.idx: missing: file does not exist`},
	{"no pages", func(k *kit) { k.must(os.Remove(k.path(pagesFile))) },
		`pages.bin: missing: file does not exist`},
	{"truncated pages", func(k *kit) { k.must(os.Truncate(k.path(pagesFile), 1000)) },
		`pages.bin: truncated: 1000 bytes of PAGES`},
	{"pages too long", func(k *kit) { k.write(pagesFile, append(k.read(pagesFile), "more"...)) },
		`pages.bin: 4 bytes too many`},
	{"truncated group", func(k *kit) { k.must(os.Truncate(k.path(groupFile), 100)) },
		`group.json: truncated: 100 bytes of GROUP`},
	{"no processes file", func(k *kit) { k.must(os.Remove(k.path(processesFile))) },
		`processes.json: missing: file does not exist`},
	{"truncated processes", func(k *kit) { k.must(os.Truncate(k.path(processesFile), 100)) },
		`processes.json: truncated: 100 bytes of PROCESSES`},
	{"flipped byte in processes", func(k *kit) { k.flip(processesFile, 300) },
		`processes.json: damaged: SHA-256 is not the one in manifest.json`},
	{"flipped byte in group", func(k *kit) { k.flip(groupFile, 100) },
		`group.json: damaged: SHA-256 is not the one in manifest.json`},
	{"flipped byte in index", func(k *kit) { k.flip(indexFile, 60) },
		`pages.idx: damaged: SHA-256 is not the one in manifest.json`},
	{"symlinked pages", func(k *kit) {
		k.must(os.Rename(k.path(pagesFile), k.path("elsewhere")))
		k.must(os.Symlink("elsewhere", k.path(pagesFile)))
	}, `pages.bin: is a symlink`},
	{"symlinked manifest", func(k *kit) {
		k.must(os.Rename(k.path(manifestFile), k.path("elsewhere")))
		k.must(os.Symlink("elsewhere", k.path(manifestFile)))
	}, `manifest.json: is a symlink`},
	{"group is a directory", func(k *kit) {
		k.must(os.Remove(k.path(groupFile)))
		k.must(os.Mkdir(k.path(groupFile), 0o700))
	}, `group.json: not a regular file`},
	{"pages are a pipe", func(k *kit) {
		k.must(os.Remove(k.path(pagesFile)))
		k.must(unix.Mkfifo(k.path(pagesFile), 0o600))
	}, `pages.bin: not a regular file`},
}

var brokenManifests = []vector{
	{"empty manifest", func(k *kit) { k.write(manifestFile, nil) },
		`manifest.json: ends in the middle`},
	{"manifest is not JSON", func(k *kit) { k.write(manifestFile, []byte("ELF\n")) },
		`manifest.json: byte 1: invalid character 'E' looking for beginning of value`},
	{"manifest is too long", func(k *kit) { k.write(manifestFile, bytes.Repeat([]byte(" "), maxManifest+1)) },
		`manifest.json: 1048577 bytes: more than 1048576`},
	{"flipped digit in manifest", func(k *kit) {
		text := strings.Replace(string(k.read(manifestFile)), `"pause_ns": 0`, `"pause_ns": 1`, 1)
		k.write(manifestFile, []byte(text))
	},
		`manifest.json: damaged: SHA-256 is not its checksum`},
	{"newer format", func(k *kit) {
		k.manifest.Format, k.manifest.Crak = 99, "7.1.0"
		k.sealManifest()
	},
		`manifest.json: format 99, written by crak "7.1.0": this is crak 0.1.0, which reads formats up to 2`},
	{"newer format with other fields", func(k *kit) {
		k.write(manifestFile, []byte(`{"format": 100, "crak": "8.0.0", "files": "elsewhere"}`))
	},
		`manifest.json: format 100, written by crak "8.0.0": this is crak 0.1.0, which reads formats up to 2`},
	{"format zero", func(k *kit) { k.manifest.Format = 0; k.sealManifest() },
		`manifest.json: format: 0: not 1 or more`},
	{"unknown field in manifest", func(k *kit) {
		k.write(manifestFile, bytes.Replace(k.read(manifestFile), []byte("{"), []byte(`{"colour": 1, `), 1))
	},
		`manifest.json: unknown field "colour"`},
	{"manifest followed by more", func(k *kit) { k.write(manifestFile, []byte(`{"format": 1} {}`)) },
		`manifest.json: byte 15: invalid character '{' after top-level value`},
	{"files missing in manifest", func(k *kit) { k.manifest.Files = k.manifest.Files[:2]; k.sealManifest() },
		`manifest.json: files: 2, not 4`},
	{"path in manifest", func(k *kit) { k.manifest.Files[0].Name = "../../group.json"; k.sealManifest() },
		`manifest.json: files[0].name: "../../group.json": not "group.json"`},
	{"negative size in manifest", func(k *kit) { k.manifest.Files[2].Size = -1; k.sealManifest() },
		`manifest.json: files[2].size: -1`},
	{"other root in manifest", func(k *kit) { k.manifest.Root = 5; k.sealManifest() },
		`group.json: root: 412, and 5 in manifest.json`},
}

var brokenGroups = []vector{
	{"group is not JSON", func(k *kit) { k.seal(groupFile, []byte(`{"root": 412, }`)) },
		`group.json: byte 15: invalid character '}' looking for beginning of object key string`},
	{"group ends early", func(k *kit) { k.seal(groupFile, []byte(`{"root": 412, "processes": [`)) },
		`group.json: ends in the middle`},
	{"wrong type in group", func(k *kit) { k.seal(groupFile, []byte(`{"root": "412"}`)) },
		`group.json: root: byte 14: a string does not belong here`},
	{"unknown field in group", func(k *kit) { k.seal(groupFile, []byte(`{"root": 412, "engines": 4}`)) },
		`group.json: unknown field "engines"`},
	{"many small objects", func(k *kit) {
		k.seal(processesFile, []byte(`{"threads":[`+strings.Repeat("{},", 1<<16)+`{}]}`))
	},
		`processes.json: line 1: takes too much memory for a text of 196624 bytes`},
	{"lists of nothing", func(k *kit) {
		k.seal(processesFile, []byte(`{"threads":[`+strings.Repeat("null,", 1<<16)+`null]}`))
	},
		`processes.json: line 1: byte 12: something else than an object in a list of objects`},
	{"a field twice", func(k *kit) { k.seal(groupFile, []byte(`{"root": 412, "root": 413}`)) },
		`group.json: field "root" comes twice`},
	{"a field by another case", func(k *kit) { k.seal(groupFile, []byte(`{"Root": 412}`)) },
		`group.json: unknown field "Root"`},
	{"processes in group", func(k *kit) { k.seal(groupFile, []byte(`{"root": 412, "processes": [{}]}`)) },
		`group.json: processes: they are in processes.json`},
	{"second process ends early", func(k *kit) { k.seal(processesFile, append(k.read(processesFile), `{"pid":`...)) },
		`processes.json: line 2: ends in the middle`},
	{"empty line among the processes", func(k *kit) { k.seal(processesFile, append(k.read(processesFile), '\n')) },
		`processes.json: line 2: ends in the middle`},
	{"many large processes", func(k *kit) {
		k.seal(processesFile, bytes.Repeat([]byte(`{"threads":[`+strings.Repeat(`{"comm":"`+strings.Repeat("x", 200)+`"},`, 1<<10)+"{}]}\n"), 1<<8))
	},
		`processes.json: line 115: takes too much memory for a text of 24966960 bytes`},
	inProcess("unknown exit signal", func(g *Group) { g.Processes[0].ExitSignal = 65 },
		`processes[0].exit_signal: 65: not 0 to 64`),
	inProcess("unknown stop signal", func(g *Group) { g.Processes[0].StoppedBy = -1 },
		`processes[0].stopped_by: -1: not 0 to 64`),
	inProcess("session of any process", func(g *Group) { g.Processes[0].Session = -1 },
		`processes[0].session: -1: not 0 to 4194304`),
	inProcess("impossible parent", func(g *Group) { g.Processes[0].Parent = 1 << 23 },
		`processes[0].parent: 8388608: not 0 to 4194304`),
	inGroup("zombie with an impossible process group", func(g *Group) { g.Zombies = []Zombie{{Pid: 413, Parent: 412, ProcessGroup: -7}} },
		`zombies[0].process_group: -7: not 0 to 4194304`),
	inGroup("zombie without a parent", func(g *Group) { g.Zombies = []Zombie{{Pid: 413, Parent: 9}} },
		`zombies[0].parent: 9: not one of the processes`),
	inGroup("zombie with a thread's number", func(g *Group) { g.Zombies = []Zombie{{Pid: 412, Parent: 412}} },
		`zombies[0].pid: 412: not a new number from 1 to 4194304`),
	inGroup("zombie that is stopped", func(g *Group) { g.Zombies = []Zombie{{Pid: 413, Parent: 412, Status: 0x137f}} },
		`zombies[0].status: 0x137f: not that of a process that has ended`),
	inGroup("zombie with an unknown exit signal", func(g *Group) { g.Zombies = []Zombie{{Pid: 413, Parent: 412, ExitSignal: 70}} },
		`zombies[0].exit_signal: 70: not 0 to 64`),
	{"deep nesting", func(k *kit) {
		k.seal(groupFile, []byte(`{"descriptions":[{"record":`+strings.Repeat("[", 1<<16)))
	},
		`group.json: byte 10025: invalid character '[' exceeded max depth`},
	{"root is no process", func(k *kit) { k.group.Root, k.manifest.Root = 1, 1; k.sealGroup() },
		`processes.json: root: 1: not one of the processes`},
	inProcess("no processes", func(g *Group) { g.Processes = nil },
		`root: 412: not one of the processes`),
	inProcess("pid zero", func(g *Group) { g.Processes[0].Pid = 0 },
		`processes[0].pid: 0: not 1 to 4194304`),
	inProcess("huge pid", func(g *Group) { g.Processes[0].Pid = 1 << 30 },
		`processes[0].pid: 1073741824: not 1 to 4194304`),
	inProcess("process twice", func(g *Group) { g.Processes = append(g.Processes, g.Processes[0]) },
		`processes[1].threads[0].parked.Tid: 412: not a new number from 1 to 4194304`),
	inProcess("no threads", func(g *Group) { g.Processes[0].Threads = nil },
		`processes[0].threads: none`),
	inProcess("leader is not first", func(g *Group) { g.Processes[0].Threads[0].Parked.Tid = 413 },
		`processes[0].threads[0].parked.Tid: 413: not the pid, 412`),
	inProcess("thread twice", func(g *Group) {
		g.Processes[0].Threads = append(g.Processes[0].Threads, g.Processes[0].Threads[0])
	},
		`processes[0].threads[1].parked.Tid: 412: not a new number from 1 to 4194304`),
	inProcess("context outside memory", func(g *Group) { g.Processes[0].Threads[0].Parked.Context = 0x10 },
		`processes[0].threads[0].parked.Context: 0x10: not in a mapping`),
	inProcess("frame outside memory", func(g *Group) { g.Processes[0].Threads[0].Parked.Frame = 1 << 63 },
		`processes[0].threads[0].parked.Frame: 0x8000000000000000: not in a mapping`),
	inProcess("short siginfo", func(g *Group) { g.Processes[0].Threads[0].Pending[0] = make(SignalInfo, 4) },
		`processes[0].threads[0].pending[0]: 4 bytes, not 128`),
	inProcess("actions missing", func(g *Group) { g.Processes[0].Actions = g.Processes[0].Actions[:31] },
		`processes[0].actions: 31, not 64`),
	inProcess("negative interval", func(g *Group) { g.Processes[0].Intervals[2].ValueUs = -1 },
		`processes[0].intervals[2]: interval 0 µs, value -1 µs: negative`),
	inProcess("timer twice", func(g *Group) {
		g.Processes[0].Timers = append(g.Processes[0].Timers, g.Processes[0].Timers[0])
	},
		`processes[0].timers[1].id: 0: not a new number`),
	inProcess("negative timer", func(g *Group) { g.Processes[0].Timers[0].IntervalNs = -1 },
		`processes[0].timers[0]: interval -1 ns, value 5 ns: negative`),
	inProcess("soft limit above hard", func(g *Group) { g.Processes[0].Limits[0].Hard = 0 },
		`processes[0].limits[0]: resource 7, soft 1024, hard 0: not a limit`),
	inProcess("unknown limit", func(g *Group) { g.Processes[0].Limits[0].Resource = 99 },
		`processes[0].limits[0]: resource 99, soft 1024, hard 4096: not a limit`),
	inProcess("dangling description", func(g *Group) { g.Processes[0].Descriptors[1].Description = 8 },
		`processes[0].descriptors[1].description: 8: not one of the descriptions`),
	inProcess("descriptor twice", func(g *Group) { g.Processes[0].Descriptors[1].Fd = 0 },
		`processes[0].descriptors[1].fd: 0: not a new number from 0 to 1073741823`),
	inProcess("negative descriptor", func(g *Group) { g.Processes[0].Descriptors[0].Fd = -1 },
		`processes[0].descriptors[0].fd: -1: not a new number from 0 to 1073741823`),
	inGroup("description twice", func(g *Group) { g.Descriptions = append(g.Descriptions, g.Descriptions[0]) },
		`descriptions[1].id: 7: not a new positive number`),
	inGroup("description without a kind", func(g *Group) { g.Descriptions[0].Kind = "" },
		`descriptions[0].kind: empty`),
	inProcess("overlapping mappings", func(g *Group) { g.Processes[0].Mappings[1].End = 0x701000 },
		`processes[0].mappings[2].start: 0x700000: before the end of the previous mapping, 0x701000`),
	inProcess("mappings out of order", func(g *Group) {
		m := g.Processes[0].Mappings
		m[0], m[1] = m[1], m[0]
	},
		`processes[0].mappings[1].start: 0x400000: before the end of the previous mapping, 0x700000`),
	inProcess("odd start", func(g *Group) { g.Processes[0].Mappings[0].Start++ },
		`processes[0].mappings[0].start: 0x400001: not on a page boundary`),
	inProcess("odd end", func(g *Group) { g.Processes[0].Mappings[0].End-- },
		`processes[0].mappings[0].end: 0x401fff: not on a page boundary`),
	inProcess("empty mapping", func(g *Group) { g.Processes[0].Mappings[0].End = 0x400000 },
		`processes[0].mappings[0].end: 0x400000: not after the start, 0x400000`),
	inProcess("mapping in the kernel", func(g *Group) { g.Processes[0].Mappings[4].End = 0xffff_ffff_ffff_f000 },
		`processes[0].mappings[4].end: 0xfffffffffffff000: beyond the user's address space`),
	inProcess("unknown protection", func(g *Group) { g.Processes[0].Mappings[0].Prot = 8 },
		`processes[0].mappings[0].prot: 0x8: unknown bits`),
	inProcess("odd huge page size", func(g *Group) { g.Processes[0].Mappings[1].HugePageSize = 3 },
		`processes[0].mappings[1].huge_page_size: 3: not a power of two`),
	inProcess("odd offset", func(g *Group) { g.Processes[0].Mappings[0].Offset = 1 },
		`processes[0].mappings[0].offset: 0x1: not a page of a file`),
	inProcess("guard outside its mapping", func(g *Group) {
		g.Processes[0].Mappings[3].Guards = []Range{{0x7ff0_0001_f000, 0x7ff0_0002_1000}}
	},
		`processes[0].mappings[3].guards[0]: 0x7ff00001f000-0x7ff000021000: not the next pages of the mapping`),
	inProcess("unknown kind of mapping", func(g *Group) { g.Processes[0].Mappings[0].Kind = "gpu" },
		`processes[0].mappings[0].kind: "gpu": unknown`),
	inProcess("shared anonymous mapping", func(g *Group) { g.Processes[0].Mappings[1].Shared = true },
		`processes[0].mappings[1].shared: an anonymous mapping is private`),
	inProcess("file mapping without a file", func(g *Group) { g.Processes[0].Mappings[0].File = nil },
		`processes[0].mappings[0].file: missing`),
	inProcess("sum of a private mapping", func(g *Group) { g.Processes[0].Mappings[0].Sum = strings.Repeat("0", 64) },
		`processes[0].mappings[0].sum: "0000000000000000000000000000000000000000000000000000000000000000": not a SHA-256 of a shared and writable file`),
	inProcess("sum that is none", func(g *Group) {
		m := &g.Processes[0].Mappings[0]
		m.Shared, m.Writable, m.Sum = true, true, "00"
	},
		`processes[0].mappings[0].sum: "00": not a SHA-256 of a shared and writable file`),
	inProcess("kernel mapping without a name", func(g *Group) { g.Processes[0].Mappings[4].Name = "" },
		`processes[0].mappings[4].name: missing`),
	inProcess("private ring of an AIO context", func(g *Group) { g.Processes[0].Mappings[1].Kind = MappingAIO },
		`processes[0].mappings[1].kind: the ring of an AIO context is shared and writable`),
	inProcess("huge AIO context", func(g *Group) {
		m := &g.Processes[0].Mappings[1]
		m.Kind, m.Shared, m.End = MappingAIO, true, m.Start+AIORingMost+PageSize
	},
		`processes[0].mappings[1].end: an AIO context of 16781312 bytes`),
	inProcess("half an AIO event", func(g *Group) {
		m := &g.Processes[0].Mappings[1]
		m.Kind, m.Shared, m.Events = MappingAIO, true, make([]byte, 16)
	},
		`processes[0].mappings[1].events: 16 bytes in a ring of 2097152`),
	inProcess("more AIO events than places", func(g *Group) {
		m := &g.Processes[0].Mappings[1]
		m.Kind, m.Shared, m.End, m.Events = MappingAIO, true, m.Start+PageSize, make([]byte, 127*AIOEventSize)
	},
		`processes[0].mappings[1].events: 4064 bytes in a ring of 4096`),
	inProcess("dangling memory object", func(g *Group) { g.Processes[0].Mappings[2].Memory = 4 },
		`processes[0].mappings[2].memory: 4: not one of the memory objects`),
	inGroup("memory object twice", func(g *Group) { g.Memory = append(g.Memory, g.Memory[0]) },
		`memory[1].id: 3: not a new positive number`),
	inGroup("huge memory object", func(g *Group) { g.Memory[0].Size = 1 << 63 },
		`memory[0].size: 9223372036854775808: too large`),
	inGroup("unknown kind of memory", func(g *Group) { g.Memory[0].Kind = "gpu" },
		`memory[0].kind: "gpu": unknown`),
	inGroup("sysv without its record", func(g *Group) { g.Memory[0].Kind = MemorySysV },
		`memory[0].sysv: does not go with kind "sysv"`),
	inGroup("semaphore set twice", func(g *Group) {
		g.Semaphores = []SemaphoreSet{{Values: []uint16{1}}, {Values: []uint16{1}}}
	},
		`semaphores[1].sysv.id: 0: not a new number from 0`),
	inGroup("removed semaphore set", func(g *Group) { g.Semaphores = []SemaphoreSet{{SysV: SysV{Removed: true}, Values: []uint16{1}}} },
		`semaphores[0].sysv.removed: only a segment can exist after its removal`),
	inGroup("locked message queue", func(g *Group) { g.Queues = []MessageQueue{{SysV: SysV{Locked: true}}} },
		`queues[0].sysv.locked: only a segment can be locked`),
	inGroup("odd permissions of a message queue", func(g *Group) { g.Queues = []MessageQueue{{SysV: SysV{Mode: 0o2000}}} },
		`queues[0].sysv.mode: 02000: more than permissions`),
	inGroup("no semaphores", func(g *Group) { g.Semaphores = []SemaphoreSet{{}} },
		`semaphores[0].values: 0 of them: not from 1 to 65536`),
	inGroup("high semaphore", func(g *Group) { g.Semaphores = []SemaphoreSet{{Values: []uint16{0, 32768}}} },
		`semaphores[0].values[1]: 32768: more than 32767`),
	inGroup("adjustment of an unknown process", func(g *Group) {
		g.Semaphores = []SemaphoreSet{{Values: []uint16{1}, Undo: []Undo{{Pid: 9, Value: 1}}}}
	},
		`semaphores[0].undo[0].pid: 9: not one of the processes`),
	inGroup("adjustment of an unknown semaphore", func(g *Group) {
		g.Semaphores = []SemaphoreSet{{Values: []uint16{1}, Undo: []Undo{{Pid: 412, Semaphore: 1, Value: 1}}}}
	},
		`semaphores[0].undo[0].semaphore: 1: not one of the set`),
	inGroup("large adjustment", func(g *Group) {
		g.Semaphores = []SemaphoreSet{{Values: []uint16{1}, Undo: []Undo{{Pid: 412, Value: 32768}}}}
	},
		`semaphores[0].undo[0].value: 32768: not from -32768 to 32767 without 0`),
	inGroup("adjustment twice", func(g *Group) {
		g.Semaphores = []SemaphoreSet{{Values: []uint16{1}, Undo: []Undo{{Pid: 412, Value: 1}, {Pid: 412, Value: 1}}}}
	},
		`semaphores[0].undo[1]: a second one of process 412 for semaphore 0`),
	inGroup("message without a type", func(g *Group) { g.Queues = []MessageQueue{{Messages: []Message{{}}}} },
		`queues[0].messages[0].type: 0: not positive`),
	inGroup("limit of a queue", func(g *Group) { g.Queues = []MessageQueue{{Limit: 1 << 63}} },
		`queues[0].limit: 9223372036854775808: too large`),
	inGroup("odd huge pages of memory", func(g *Group) { g.Memory[0].HugePageSize = 5 },
		`memory[0].huge_page_size: 5: not a power of two`),
	{"malformed address", func(k *kit) {
		k.seal(processesFile, bytes.Replace(k.read(processesFile), []byte(`"0x400000"`), []byte(`"4194304"`), 1))
	},
		`processes.json: line 1: address "4194304": does not begin with 0x`},
}

var brokenIndexes = []vector{
	{"empty index", func(k *kit) { k.seal(indexFile, nil) },
		`pages.idx: ends in the middle`},
	{"index of another kind", func(k *kit) { k.seal(indexFile, make([]byte, 64)) },
		`pages.idx: begins with "\x00\x00\x00\x00\x00\x00\x00\x00", not "CRAKIDX\n"`},
	{"index of another format", func(k *kit) { k.patchIndex(8, 2) },
		`pages.idx: format 2: not 1`},
	{"index ends early", func(k *kit) { k.seal(indexFile, k.read(indexFile)[:100]) },
		`pages.idx: frame 0: ends in the middle`},
	{"index goes on", func(k *kit) { k.seal(indexFile, append(k.read(indexFile), 0)) },
		`pages.idx: frame 12: data after the end record`},
	{"unknown record", func(k *kit) { k.patchIndex(16, 77) },
		`pages.idx: frame 0: unknown record 0x4d`},
	{"long name of a space", func(k *kit) { k.patchIndex(20, 1<<31) },
		`pages.idx: frame 0: name of a space of 2147483648 bytes`},
	{"space that is not named", func(k *kit) { k.patchIndex(44, 9) },
		`pages.idx: frame 0: space 9 of 1`},
	{"huge count of runs", func(k *kit) { k.patchIndex(72, 1<<30) },
		`pages.idx: frame 0: 1073741824 runs: not 1 to 1024`},
	{"wrong totals", func(k *kit) { k.patchIndex(-8, 5) },
		`pages.idx: frame 12: totals: is {Spaces:3 Frames:12 Stored:PAGES Raw:1480465 Same:0}, must be {Spaces:3 Frames:12 Stored:PAGES Raw:5 Same:0}`},
	inFrames("odd name of a space", func(k *kit) { k.rename("process:0412") },
		`frame 0: space "process:0412": not process:N, memory:N or object:N`),
	inFrames("space of no process", func(k *kit) { k.rename("process:413") },
		`frame 0: space "process:413": not in the group`),
	inFrames("space of no memory object", func(k *kit) { k.rename("memory:9") },
		`frame 0: space "memory:9": not in the group`),
	inFrames("space of no object", func(k *kit) { k.rename("object:9") },
		`frame 0: space "object:9": not in the group`),
	inFrames("unknown codec", func(k *kit) { k.frames[0].Codec = 9 },
		`frame 0: unknown codec 9`),
	inFrames("huge content", func(k *kit) { k.frames[0].Raw = 1 << 31 },
		`frame 0: 2147483648 bytes of content: not 1 to 1048576`),
	inFrames("no content", func(k *kit) { k.frames[0].Raw = 0 },
		`frame 0: 0 bytes of content: not 1 to 1048576`),
	inFrames("stored size of plain content", func(k *kit) { k.frame(CodecNone).Stored-- },
		`frame 10: 8191 bytes stored: not the 8192 of the content`),
	inFrames("grown by compression", func(k *kit) { f := k.frame(CodecZstd); f.Stored = f.Raw + 1 },
		`frame 0: 176129 bytes stored: not less than the 176128 of the content`),
	inFrames("stored zeroes", func(k *kit) { k.frame(CodecZero).Stored = 5 },
		`frame 8: stored bytes in a frame of zeroes`),
	inFrames("offset beyond the pages", func(k *kit) { k.frame(CodecNone).Offset = 1 << 40 },
		`frame 10: offset 1099511627776, 8192 bytes: beyond the PAGES bytes of pages.bin`),
	inFrames("negative offset", func(k *kit) { k.frame(CodecNone).Offset = -1 << 63 },
		`frame 10: offset -9223372036854775808, 8192 bytes: beyond the PAGES bytes of pages.bin`),
	inFrames("same as nobody", func(k *kit) { k.same(ProcessSpace(412), "process:9") },
		`process:412: has the content of process:9, which has none`),
	inFrames("same as itself", func(k *kit) { k.same(ProcessSpace(412), ProcessSpace(412)) },
		`process:412: the content comes from itself, or through more than 16 others`),
	inFrames("same as a memory object", func(k *kit) { k.same(ProcessSpace(412), MemorySpace(3)) },
		`frame 8: space "memory:3": same content in something else than two processes`),
	inFrames("sum of the same", func(k *kit) { k.same(ProcessSpace(412), ProcessSpace(412)); k.frame(CodecSame).CRC = 1 },
		`frame 8: stored bytes, or a sum, in a frame whose content is that of another process`),
	inFrames("no runs", func(k *kit) { k.frames[0].Runs = nil },
		`frame 0: 0 runs: not 1 to 1024`),
	inFrames("run too long", func(k *kit) { k.frames[0].Runs[0].Length += PageSize },
		`frame 0: run 22: start 0x53e000, length 0x1000: out of range`),
	inFrames("run too short", func(k *kit) { k.frames[0].Runs[0].Length -= 1 },
		`frame 0: runs are 1 bytes short of the content`),
	inFrames("run wraps around", func(k *kit) { k.frames[0].Runs[0].Start = 1<<64 - PageSize },
		`frame 0: run 0: start 0xfffffffffffff000, length 0x1000: out of range`),
	inFrames("run outside mappings", func(k *kit) { k.frames[0].Runs[0].Start = 0x10000 },
		`frame 0: run 0: 0x10000-0x11000: not inside a private mapping of the process`),
	inFrames("page in two frames", func(k *kit) { k.frames[1].Runs[0].Start = k.frames[0].Runs[1].Start },
		`frame 1: run 0: 0x500000-0x501000: saved before`),
	inFrames("page twice in a frame", func(k *kit) { k.frames[0].Runs[1].Start = k.frames[0].Runs[0].Start },
		`frame 0: run 1: 0x401000-0x402000: saved before`),
	inFrames("run in a shared mapping", func(k *kit) { k.frames[0].Runs[0].Start = 0x700000 },
		`frame 0: run 0: 0x700000-0x701000: not inside a private mapping of the process`),
	inFrames("run in the vdso", func(k *kit) { k.frames[0].Runs[0].Start = 0x7ff0_0010_0000 },
		`frame 0: run 0: 0x7ff000100000-0x7ff000101000: not inside a private mapping of the process`),
	inFrames("run off its page", func(k *kit) { k.frames[0].Runs[0].Start++ },
		`frame 0: run 0: 0x401001-0x402001: not on page boundaries`),
	inFrames("run beyond the memory object", func(k *kit) { k.frameOf(MemorySpace(3)).Runs[0].Start = 0x4000 },
		`frame 10: run 0: 0x4000-0x6000: not inside the memory object`),
}

var brokenFrames = []vector{
	{"flipped byte in plain frame", func(k *kit) { k.flip(pagesFile, k.frame(CodecNone).Offset+5) },
		`pages.bin: frame 10: damaged: CRC-32C is not the one in pages.idx`},
	{"flipped byte in zstd frame", func(k *kit) { k.flip(pagesFile, k.frame(CodecZstd).Offset+500) },
		`pages.bin: frame 0: damaged: CRC-32C is not the one in pages.idx`},
	{"zstd frame is not zstd", func(k *kit) { k.flip(pagesFile, k.frame(CodecZstd).Offset) },
		`pages.bin: frame 0: zstd: invalid input: magic number mismatch`},
	{"wrong checksum", func(k *kit) { k.frame(CodecNone).CRC = 1; k.sealFrames() },
		`pages.bin: frame 10: damaged: CRC-32C is not the one in pages.idx`},
	{"zstd of more than was said", func(k *kit) { k.shrink(k.frame(CodecZstd)); k.sealFrames() },
		`pages.bin: frame 0: zstd: decompressed size exceeds configured limit`},
}

// flip flips a bit of a file and does not update the manifest.
func (k *kit) flip(name string, at int64) {
	text := k.read(name)
	text[at] ^= 4
	k.write(name, text)
}

// same makes the frame of zeroes one of codec "same".
func (k *kit) same(space, source Space) {
	f := k.frame(CodecZero)
	f.Space, f.Source, f.Codec, f.Stored, f.CRC = space, source, CodecSame, 0, 0
}

// patchIndex writes a word into pages.idx. A negative offset counts from the end.
func (k *kit) patchIndex(at int, word uint32) {
	text := k.read(indexFile)
	if at < 0 {
		at += len(text)
	}
	binary.LittleEndian.PutUint32(text[at:], word)
	k.seal(indexFile, text)
}

// rename moves the frames of the process to another space.
func (k *kit) rename(s Space) {
	for i := range k.frames {
		if k.frames[i].Space == ProcessSpace(412) {
			k.frames[i].Space = s
		}
	}
}

func (k *kit) frameOf(s Space) *Frame {
	for i := range k.frames {
		if k.frames[i].Space == s {
			return &k.frames[i]
		}
	}
	k.t.Fatalf("no frame of %s", s)
	return nil
}

// shrink removes one page from the content size and the runs of a frame.
func (k *kit) shrink(f *Frame) {
	f.Raw -= PageSize
	last := &f.Runs[len(f.Runs)-1]
	last.Length -= PageSize
	if last.Length == 0 {
		f.Runs = f.Runs[:len(f.Runs)-1]
	}
}
