package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

// writerType is the type of the writer's section: SHT_WRITER in load_writer.c.
const writerType = 0x6372616b

// Sizes of Elf64_Phdr, Elf64_Shdr, Elf64_Rela and Elf64_Dyn (elf(5)), and the pages that load_writer.c maps.
const (
	programHeaderSize = 56
	sectionHeaderSize = 64
	relocationSize    = 24
	dynamicSize       = 16
	pageSize          = 4096
)

var le = binary.LittleEndian

// A library is a libcrak.so as it was linked. Changes are made in data.
type library struct {
	*elf.File
	data   []byte
	writer *elf.Section // the writer's first section; all allocated sections behind it are the writer's, too
}

// hide changes a libcrak.so in place.
func hide(data []byte) error {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return err
	}
	if f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB || f.Machine != elf.EM_X86_64 || f.Type != elf.ET_DYN {
		return fmt.Errorf("%v, %v, %v: not a shared library for x86-64", f.Class, f.Machine, f.Type)
	}
	l := library{File: f, data: data, writer: f.Section(".crak.writer")}
	if l.writer == nil || l.writer.Type == elf.SHT_NOBITS {
		return errors.New("no section .crak.writer: not linked by shim/crak.ld")
	}
	for _, change := range []func() error{l.check, l.relocations, l.segments, l.sections} {
		if err := change(); err != nil {
			return err
		}
	}
	return nil
}

// check makes sure that load_writer.c can map the writer: its sections must have the same distances in the file as in memory.
func (l library) check() error {
	if l.writer.Offset%pageSize != 0 || l.writer.Addr%pageSize != 0 {
		return fmt.Errorf("section %s: address %#x, offset %#x: not on a page boundary", l.writer.Name, l.writer.Addr, l.writer.Offset)
	}
	for _, s := range l.Sections {
		if l.isWriters(s) && s.Type != elf.SHT_NOBITS && s.Addr-l.writer.Addr != s.Offset-l.writer.Offset {
			return fmt.Errorf("section %s: at %#x in memory and %#x in the file: elsewhere than %s", s.Name, s.Addr, s.Offset, l.writer.Name)
		}
	}
	for _, p := range l.Progs {
		if p.Type == elf.PT_LOAD && p.Vaddr < l.writer.Addr && p.Vaddr+p.Memsz > l.writer.Addr {
			return fmt.Errorf("segment at %#x: it has parts of both the resident and the writer", p.Vaddr)
		}
	}
	return nil
}

func (l library) isWriters(s *elf.Section) bool {
	return s.Flags&elf.SHF_ALLOC != 0 && s.Addr >= l.writer.Addr
}

// relocations leaves only the resident's relocations to the loader. The writer's relocations must need no symbol.
func (l library) relocations() error {
	own, writers, dynamic := l.Section(".rela.dyn"), l.Section(".writer.rela"), l.Section(".dynamic")
	if own == nil || writers == nil || dynamic == nil {
		return errors.New("no section .rela.dyn, .writer.rela or .dynamic: not linked by shim/crak.ld")
	}
	for at := writers.Offset; at < writers.Offset+writers.Size; at += relocationSize {
		kind := elf.R_X86_64(elf.R_TYPE64(le.Uint64(l.data[at+8:])))
		to := le.Uint64(l.data[at:])
		if kind != elf.R_X86_64_RELATIVE || to < l.writer.Addr {
			return fmt.Errorf("relocation of the writer at %#x, %v: only R_X86_64_RELATIVE in the writer's own sections is applied by load_writer.c", to, kind)
		}
	}
	for at := own.Offset; at < own.Offset+own.Size; at += relocationSize {
		if to := le.Uint64(l.data[at:]); to >= l.writer.Addr {
			return fmt.Errorf("relocation at %#x: the loader would apply it to the writer, which it does not map", to)
		}
	}
	changed := 0
	for at := dynamic.Offset; at < dynamic.Offset+dynamic.Size; at += dynamicSize {
		switch tag := elf.DynTag(le.Uint64(l.data[at:])); tag {
		case elf.DT_RELA:
			le.PutUint64(l.data[at+8:], own.Addr)
			changed++
		case elf.DT_RELASZ:
			le.PutUint64(l.data[at+8:], own.Size)
			changed++
		case elf.DT_RELACOUNT: // only a hint to the loader; the linker has counted the writer's relocations, too
			le.PutUint64(l.data[at+8:], 0)
		case elf.DT_TEXTREL:
			return errors.New("DT_TEXTREL: the loader would write to code")
		}
	}
	if changed != 2 {
		return fmt.Errorf("dynamic section: %d entries DT_RELA and DT_RELASZ, not 2", changed)
	}
	return nil
}
