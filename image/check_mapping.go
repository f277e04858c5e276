package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
)

// userEnd is the highest possible end of user space (five levels of page tables).
const userEnd = 1<<56 - PageSize

func checkMappings(all []Mapping, memory map[MemoryID]bool) error {
	end := Address(0)
	for i := range all {
		m := &all[i]
		err := checkMapping(m, memory)
		if err == nil && m.Start < end {
			err = fmt.Errorf("start: %v: before the end of the previous mapping, %v", m.Start, end)
		}
		if err != nil {
			return fmt.Errorf("mappings[%d].%w", i, err)
		}
		end = m.End
	}
	return nil
}

func checkMapping(m *Mapping, memory map[MemoryID]bool) error {
	switch {
	case m.Start%PageSize != 0:
		return fmt.Errorf("start: %v: not on a page boundary", m.Start)
	case m.End%PageSize != 0:
		return fmt.Errorf("end: %v: not on a page boundary", m.End)
	case m.End <= m.Start:
		return fmt.Errorf("end: %v: not after the start, %v", m.End, m.Start)
	case m.End > userEnd:
		return fmt.Errorf("end: %v: beyond the user's address space", m.End)
	case m.Prot&^7 != 0:
		return fmt.Errorf("prot: %#x: unknown bits", m.Prot)
	case !validPageSize(m.HugePageSize):
		return fmt.Errorf("huge_page_size: %d: not a power of two", m.HugePageSize)
	case m.Offset%PageSize != 0 || m.Offset >= maxObject:
		return fmt.Errorf("offset: %#x: not a page of a file", m.Offset)
	}
	end := m.Start
	for i, g := range m.Guards {
		if g.Start%PageSize != 0 || g.End%PageSize != 0 || g.Start < end || g.End <= g.Start || g.End > m.End {
			return fmt.Errorf("guards[%d]: %v-%v: not the next pages of the mapping", i, g.Start, g.End)
		}
		end = g.End
	}
	return checkBehind(m, memory)
}

// checkBehind checks what a mapping maps.
func checkBehind(m *Mapping, memory map[MemoryID]bool) error {
	switch m.Kind {
	case MappingAnonymous:
		if m.Shared {
			return errors.New("shared: an anonymous mapping is private")
		}
	case MappingFile:
		if m.File == nil || m.File.Path == "" {
			return errors.New("file: missing")
		}
		if m.Sum != "" && (!m.Shared || !m.Writable || !isSum(m.Sum)) {
			return fmt.Errorf("sum: %.80q: not a SHA-256 of a shared and writable file", m.Sum)
		}
	case MappingMemory:
		if !memory[m.Memory] {
			return fmt.Errorf("memory: %d: not one of the memory objects", m.Memory)
		}
	case MappingKernel:
		if m.Name == "" {
			return errors.New("name: missing")
		}
	case MappingAIO:
		return checkAIO(m)
	default:
		return fmt.Errorf("kind: %.40q: unknown", string(m.Kind))
	}
	return nil
}

func isSum(text string) bool {
	sum, err := hex.DecodeString(text)
	return err == nil && len(sum) == sha256.Size
}

// validPageSize accepts 0: pages of the normal size.
func validPageSize(n uint64) bool {
	return n == 0 || bits.OnesCount64(n) == 1 && n > PageSize && n < 1<<40
}
