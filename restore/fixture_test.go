package restore

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/host"
)

// Addresses of the program that the tests make by hand.
const (
	codeAt    = 0x7f_0000_0000
	dataAt    = codeAt + image.PageSize
	contextAt = dataAt + 0x100
	stackTop  = dataAt + 0xff0
)

// says is code that tells crak that it runs, as a resident does, and ends with status 42. It
// begins with the address of struct abi_restart in rax.
var says = []byte{
	0x48, 0x89, 0xc3, // mov %rax, %rbx
	0x8b, 0x7b, 0x10, // mov 16(%rbx), %edi: control
	0x48, 0x89, 0xde, // mov %rbx, %rsi
	0xba, 1, 0, 0, 0, // mov $1, %edx
	0xb8, 1, 0, 0, 0, // mov $1, %eax: write
	0x0f, 0x05, // syscall
	0x8b, 0x7b, 0x10, // mov 16(%rbx), %edi
	0xb8, 3, 0, 0, 0, // mov $3, %eax: close
	0x0f, 0x05, // syscall
	0xbf, 42, 0, 0, 0, // mov $42, %edi
	0xb8, 231, 0, 0, 0, // mov $231, %eax: exit_group
	0x0f, 0x05, // syscall
}

var crashes = []byte{0x0f, 0x0b} // ud2

// handMade is a group of one process with one thread, and no libc: a page of code and one of data.
func handMade(pid image.Pid) *image.Group {
	p := image.Process{
		Pid: pid, Parent: 1, ProcessGroup: pid, Session: pid,
		Executable: fileAt("/usr/bin/true"), Cwd: "/", RootDir: "/", Umask: 0o22,
		Layout: image.Layout{StartCode: codeAt, EndCode: codeAt + 0x100, StartData: dataAt, EndData: dataAt + 0x100,
			StartBrk: dataAt + 0x10000, Brk: dataAt + 0x10000, StartStack: stackTop, ArgStart: dataAt, ArgEnd: dataAt + 4,
			EnvStart: dataAt + 4, EnvEnd: dataAt + 8},
		Mappings: []image.Mapping{
			{Start: codeAt, End: dataAt, Prot: unix.PROT_READ | unix.PROT_EXEC, Kind: image.MappingAnonymous},
			{Start: dataAt, End: dataAt + image.PageSize, Prot: readWrite, Kind: image.MappingAnonymous},
		},
		Threads: []image.Thread{{
			Parked:      abi.Thread{Tid: int32(pid), Flags: abi.ThreadInitiator, Context: contextAt, Frame: contextAt, Syscall: -1},
			Comm:        "handmade",
			Credentials: ownCredentials(),
		}},
		Actions:    make([]image.SignalAction, 64),
		Attributes: image.Attributes{Dumpable: 1},
	}
	return &image.Group{Root: pid, Processes: []image.Process{p}, Descriptions: []image.Description{}}
}

// fileAt is a file as a checkpoint records it; one that is not there has a path alone.
func fileAt(path string) image.File {
	var st unix.Stat_t
	unix.Stat(path, &st)
	return image.File{Path: path, Device: st.Dev, Inode: st.Ino, Mode: st.Mode, Size: st.Size, MtimeNs: st.Mtim.Nano()}
}

func ownCredentials() image.Credentials {
	n := uint32(os.Getuid())
	g := uint32(os.Getgid())
	return image.Credentials{UID: [4]uint32{n, n, n, n}, GID: [4]uint32{g, g, g, g}, Bounding: 1<<41 - 1}
}

// writeImage writes an image whose code page begins with code.
func writeImage(t *testing.T, g *image.Group, code []byte) string {
	t.Helper()
	w, err := image.Create(t.TempDir(), image.Options{Program: "handmade", Pid: g.Root})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	memory := make([]byte, 2*image.PageSize)
	copy(memory, code)
	context, err := binary.Append(nil, binary.NativeEndian, abi.Context{Rsp: stackTop, Rip: codeAt})
	if err != nil {
		t.Fatal(err)
	}
	copy(memory[contextAt-codeAt:], context)
	copy(memory[dataAt-codeAt:], "arg\x00env\x00")
	runs := []image.Run{{Start: codeAt, Length: uint64(len(memory))}}
	err = w.Put(image.ProcessSpace(g.Root), runs, func(dst []byte, runs []image.Run) error {
		for _, r := range runs {
			dst = dst[copy(dst, memory[r.Start-codeAt:][:r.Length]):]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.Read()
	if err != nil {
		t.Fatal(err)
	}
	path, err := w.Commit(image.Manifest{Program: "handmade", Root: g.Root, Host: h}, g)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// spoil changes one byte of an image's file.
func spoil(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := slices.Clone(data)
	changed[len(changed)/2] ^= 1
	if bytes.Equal(data, changed) {
		t.Fatalf("%s: nothing to spoil", path)
	}
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
}
