package main

import (
	"bytes"
	"debug/elf"
	"os"
	"strings"
	"testing"
)

// linked reads the linker's output, which `make` keeps.
func linked(t *testing.T) ([]byte, *elf.File) {
	t.Helper()
	data, err := os.ReadFile("../../build/linked/libcrak.so")
	if err != nil {
		t.Fatalf("%v: make comes first", err)
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return data, f
}

// TestHidden: one section of the writer is left, and the loader maps and relocates nothing of it.
func TestHidden(t *testing.T) {
	data, before := linked(t)
	writer := before.Section(".crak.writer").Addr
	if err := hide(data); err != nil {
		t.Fatal(err)
	}
	after, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range after.Progs {
		if p.Vaddr >= writer {
			t.Errorf("%v at %#x is still there", p.Type, p.Vaddr)
		}
	}
	for _, s := range after.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.Addr >= writer {
			t.Errorf("section %s is still allocated", s.Name)
		}
	}
	if s := after.Section(".crak.writer"); s == nil || s.Type != writerType || s.Size == 0 {
		t.Errorf("section of the writer: %+v", s)
	}
	if names, err := after.DynamicSymbols(); err != nil || len(names) == 0 {
		t.Errorf("dynamic symbols: %d, %v", len(names), err)
	}
}

// TestRefused: each case has one fault.
func TestRefused(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(data []byte, f *elf.File) []byte
		want  string
	}{
		{"not ELF", func(data []byte, f *elf.File) []byte { return bytes.Repeat([]byte("text"), 100) }, "bad magic number"},
		{"other machine", func(data []byte, f *elf.File) []byte {
			le.PutUint16(data[0x12:], uint16(elf.EM_AARCH64))
			return data
		}, "not a shared library for x86-64"},
		{"program", func(data []byte, f *elf.File) []byte {
			le.PutUint16(data[0x10:], uint16(elf.ET_EXEC))
			return data
		}, "not a shared library for x86-64"},
		{"other layout", func(data []byte, f *elf.File) []byte {
			names := f.Section(".shstrtab")
			at := names.Offset + uint64(bytes.Index(data[names.Offset:], []byte(".crak.writer")))
			data[at+1] = 'x'
			return data
		}, "no section .crak.writer"},
		{"writer's relocation with a symbol", func(data []byte, f *elf.File) []byte {
			le.PutUint64(data[f.Section(".writer.rela").Offset+8:], 1<<32|uint64(elf.R_X86_64_64))
			return data
		}, "only R_X86_64_RELATIVE"},
		{"writer's relocation of the resident", func(data []byte, f *elf.File) []byte {
			le.PutUint64(data[f.Section(".writer.rela").Offset:], f.Section(".data.rel.ro").Addr)
			return data
		}, "only R_X86_64_RELATIVE"},
		{"loader's relocation of the writer", func(data []byte, f *elf.File) []byte {
			le.PutUint64(data[f.Section(".rela.dyn").Offset:], f.Section(".writer.data").Addr)
			return data
		}, "the loader would apply it to the writer"},
		{"text relocations", func(data []byte, f *elf.File) []byte {
			le.PutUint64(data[f.Section(".dynamic").Offset:], uint64(elf.DT_TEXTREL))
			return data
		}, "DT_TEXTREL"},
		{"section elsewhere in the file", func(data []byte, f *elf.File) []byte {
			for i, s := range f.Sections {
				if s.Name == ".noptrdata" {
					at := le.Uint64(data[headerShoff:]) + uint64(i)*sectionHeaderSize + 24
					le.PutUint64(data[at:], le.Uint64(data[at:])-pageSize)
				}
			}
			return data
		}, "elsewhere than .crak.writer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, f := linked(t)
			err := hide(test.spoil(data, f))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
