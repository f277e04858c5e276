package compile

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A Use is a shared memory object, and how the processes map it.
type Use struct {
	object    *image.MemoryObject
	mapped    int            // number of mappings
	whole     *image.Mapping // a mapping of the whole object
	noReserve bool           // a mapping has MAP_NORESERVE
	readOnly  bool           // a shared mapping can never become writable
}

// Uses returns the use of each memory object of a group.
func Uses(g *image.Group) map[image.MemoryID]*Use {
	uses := make(map[image.MemoryID]*Use)
	for i := range g.Memory {
		uses[g.Memory[i].ID] = &Use{object: &g.Memory[i]}
	}
	for p := range g.Processes {
		for i := range g.Processes[p].Mappings {
			m := &g.Processes[p].Mappings[i]
			u := uses[m.Memory]
			if m.Kind != image.MappingMemory || u == nil {
				continue
			}
			u.mapped++
			u.readOnly = u.readOnly || mapsReadOnly(m)
			u.noReserve = u.noReserve || m.NoReserve
			if m.Offset == 0 && uint64(m.End-m.Start) == u.object.Size {
				u.whole = m
			}
		}
	}
	return uses
}

// IsFile tells whether crak restores the object as a file. SysV segments are none, and neither is memory of
// mmap(MAP_SHARED|MAP_ANONYMOUS). Such memory with huge pages becomes a memfd if it has several mappings: mremap(2) cannot map
// huge pages a second time.
func (u *Use) IsFile() bool {
	switch {
	case u.object.Kind == image.MemorySysV:
		return false
	case u.object.Kind == image.MemoryAnonymous && u.object.HugePageSize != 0:
		return u.only() == nil
	}
	return u.object.Kind != image.MemoryAnonymous
}

// IsReadOnly tells whether the object has a shared mapping that mprotect(2) cannot make writable, and no seal that has this effect. Then the
// file must be open for reading only.
func (u *Use) IsReadOnly() bool { return u.readOnly && u.object.Seals&unix.F_SEAL_WRITE == 0 }

func mapsReadOnly(m *image.Mapping) bool { return m.Shared && !m.Writable }

// only returns the mapping of the whole object if the object has no other mapping, else nil.
func (u *Use) only() *image.Mapping {
	if u.mapped != 1 {
		return nil
	}
	return u.whole
}
