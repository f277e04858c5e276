// Package handmade is a process image made by hand, for tests: one thread, no C library, a page of code and one of data.
package handmade

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
)

// Addresses in the process.
const (
	CodeAt    = 0x7f_0000_0000
	DataAt    = CodeAt + image.PageSize
	ContextAt = DataAt + 0x100
	StackTop  = DataAt + 0xff0
)

// Group is a group of that one process, with the given IDs and capabilities.
func Group(pid image.Pid, owner image.Credentials) *image.Group {
	p := image.Process{
		Pid: pid, Parent: 1, ProcessGroup: pid, Session: pid,
		Executable: FileAt("/usr/bin/true"), Cwd: "/", RootDir: "/", Umask: 0o22,
		Layout: image.Layout{StartCode: CodeAt, EndCode: CodeAt + 0x100, StartData: DataAt, EndData: DataAt + 0x100,
			StartBrk: DataAt + 0x10000, Brk: DataAt + 0x10000, StartStack: StackTop, ArgStart: DataAt, ArgEnd: DataAt + 4,
			EnvStart: DataAt + 4, EnvEnd: DataAt + 8},
		Mappings: []image.Mapping{
			{Start: CodeAt, End: DataAt, Prot: unix.PROT_READ | unix.PROT_EXEC, Kind: image.MappingAnonymous},
			{Start: DataAt, End: DataAt + image.PageSize, Prot: unix.PROT_READ | unix.PROT_WRITE, Kind: image.MappingAnonymous},
		},
		Threads: []image.Thread{{
			Parked:      abi.Thread{Tid: int32(pid), Flags: abi.ThreadInitiator, Context: ContextAt, Frame: ContextAt, Syscall: -1},
			Comm:        "handmade",
			Credentials: owner,
		}},
		Actions:    make([]image.SignalAction, 64),
		Attributes: image.Attributes{Dumpable: 1},
	}
	return &image.Group{Root: pid, Processes: []image.Process{p}, Descriptions: []image.Description{}}
}

// FileAt is a file as a checkpoint records it; one that is not there has a path alone.
func FileAt(path string) image.File {
	var st unix.Stat_t
	unix.Stat(path, &st)
	return image.File{Path: path, Device: st.Dev, Inode: st.Ino, Mode: st.Mode, Size: st.Size, MtimeNs: st.Mtim.Nano()}
}
