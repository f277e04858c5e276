package coord

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// hasLibrary looks for libcrak.so among the mappings: by the file's name, or, where it was restored as memory because
// the file has changed, by its note. A process that may not be dumped shows neither: then the handler of the freeze
// signal has to do.
func hasLibrary(pid int) bool {
	mappings, err := proc.Read(pid, "maps", proc.Maps)
	if err != nil {
		return true
	}
	for _, m := range mappings {
		if strings.Contains(filepath.Base(m.Path), "libcrak") {
			return true
		}
	}
	for _, m := range mappings {
		if m.Anonymous() && m.Path == "" && m.Prot == unix.PROT_READ && hasNote(pid, m.Start) {
			return true
		}
	}
	return false
}

// hasNote looks for the note in the first page of a mapping.
func hasNote(pid int, address uint64) bool {
	page := make([]byte, 4096)
	local := []unix.Iovec{{Base: &page[0], Len: uint64(len(page))}}
	n, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(address), Len: len(page)}}, 0)
	return err == nil && bytes.Contains(page[:n], libraryNote())
}

// libraryNote is how the note begins: its header, and its name (elf(5)).
func libraryNote() []byte {
	var note []byte
	for _, word := range []uint32{uint32(len(abi.NoteName) + 1), 4, abi.NoteType} {
		note = binary.NativeEndian.AppendUint32(note, word)
	}
	return append(note, abi.NoteName...)
}
