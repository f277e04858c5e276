package restore

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"testing"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/host"
	"crak.dev/crak/restore/handmade"
)

// says is code that tells crak that the program runs, as a resident does, and exits with status 42. At its start rax is the address
// of struct abi_restart.
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

// me returns the IDs of this process, which a restart of a process needs. Its capabilities are left out: no process here needs any.
func me() image.Credentials {
	u, g := uint32(os.Getuid()), uint32(os.Getgid())
	return image.Credentials{UID: [4]uint32{u, u, u, u}, GID: [4]uint32{g, g, g, g}, Bounding: 1<<41 - 1}
}

// writeImage writes an image. The code page of each process begins with code.
func writeImage(t *testing.T, g *image.Group, code []byte) string {
	t.Helper()
	return writeMore(t, g, code, func(*image.Writer, *image.Process) error { return nil })
}

// writeMore is writeImage, and puts more content of each process into the image.
func writeMore(t *testing.T, g *image.Group, code []byte, more func(*image.Writer, *image.Process) error) string {
	t.Helper()
	w, err := image.Create(t.TempDir(), image.Options{Program: "handmade", Pid: g.Root})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	memory := make([]byte, 2*image.PageSize)
	copy(memory, code)
	context, err := binary.Append(nil, binary.NativeEndian, abi.Context{Rsp: handmade.StackTop, Rip: handmade.CodeAt})
	if err != nil {
		t.Fatal(err)
	}
	copy(memory[handmade.ContextAt-handmade.CodeAt:], context)
	copy(memory[handmade.DataAt-handmade.CodeAt:], "arg\x00env\x00")
	runs := []image.Run{{Start: handmade.CodeAt, Length: uint64(len(memory))}}
	for _, p := range g.Processes {
		err = w.Put(image.ProcessSpace(p.Pid), runs, func(dst []byte, runs []image.Run) error {
			for _, r := range runs {
				dst = dst[copy(dst, memory[r.Start-handmade.CodeAt:][:r.Length]):]
			}
			return nil
		})
		if err == nil {
			err = more(w, &p)
		}
		if err != nil {
			t.Fatal(err)
		}
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

// spoil changes one byte of a file of an image.
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
