package main

import (
	"debug/elf"
	"fmt"
)

// Offsets in Elf64_Ehdr.
const (
	headerPhoff    = 0x20
	headerShoff    = 0x28
	headerPhnum    = 0x38
	headerShnum    = 0x3c
	headerShstrndx = 0x3e
)

// writerSegments is the number of the writer's segments: code, read-only data and data.
const writerSegments = 3

// segments removes the program headers of the writer.
func (l library) segments() error {
	start := le.Uint64(l.data[headerPhoff:])
	table := l.data[start : start+uint64(len(l.Progs))*programHeaderSize]
	kept := 0
	for i, p := range l.Progs {
		if p.Type == elf.PT_LOAD && p.Vaddr >= l.writer.Addr {
			continue
		}
		copy(table[kept*programHeaderSize:], table[i*programHeaderSize:(i+1)*programHeaderSize])
		kept++
	}
	if removed := len(l.Progs) - kept; removed != writerSegments {
		return fmt.Errorf("%d segments of the writer, not %d", removed, writerSegments)
	}
	clear(table[kept*programHeaderSize:])
	le.PutUint16(l.data[headerPhnum:], uint16(kept))
	for i := range kept {
		h := table[i*programHeaderSize:]
		if elf.ProgType(le.Uint32(h)) == elf.PT_PHDR {
			le.PutUint64(h[32:], uint64(kept*programHeaderSize)) // p_filesz
			le.PutUint64(h[40:], uint64(kept*programHeaderSize)) // p_memsz
		}
	}
	return nil
}

// sections replaces all sections of the writer by one. strip(1) does not move that section.
func (l library) sections() error {
	start := le.Uint64(l.data[headerShoff:])
	table := l.data[start : start+uint64(len(l.Sections))*sectionHeaderSize]
	names := int(le.Uint16(l.data[headerShstrndx:]))
	moved := make([]uint32, len(l.Sections)) // the new number of each section
	kept, end := 0, l.writer.Offset
	for i, s := range l.Sections {
		if l.isWriters(s) {
			if s.Type != elf.SHT_NOBITS {
				end = max(end, s.Offset+s.Size)
			}
			if s != l.writer {
				continue
			}
		}
		copy(table[kept*sectionHeaderSize:], table[i*sectionHeaderSize:(i+1)*sectionHeaderSize])
		moved[i] = uint32(kept)
		kept++
	}
	clear(table[kept*sectionHeaderSize:])
	le.PutUint16(l.data[headerShnum:], uint16(kept))
	le.PutUint16(l.data[headerShstrndx:], uint16(moved[names]))
	for i := range kept {
		h := table[i*sectionHeaderSize:]
		if link := le.Uint32(h[40:]); int(link) < len(moved) {
			le.PutUint32(h[40:], moved[link]) // sh_link
		}
		if elf.SectionFlag(le.Uint64(h[8:]))&elf.SHF_INFO_LINK != 0 {
			le.PutUint32(h[44:], moved[le.Uint32(h[44:])]) // sh_info
		}
		if le.Uint64(h[16:]) == l.writer.Addr {
			le.PutUint32(h[4:], writerType)
			le.PutUint64(h[8:], 0)  // sh_flags: not allocated
			le.PutUint64(h[16:], 0) // sh_addr
			le.PutUint64(h[32:], end-l.writer.Offset)
			le.PutUint64(h[48:], pageSize) // sh_addralign
		}
	}
	return nil
}
