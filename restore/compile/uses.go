package compile

import "crak.dev/crak/image"

// A Use is a shared memory object with what is mapped of it.
type Use struct {
	object    *image.MemoryObject
	mapped    int            // mappings
	whole     *image.Mapping // one that has all of the object
	noReserve bool           // a mapping has MAP_NORESERVE
}

// Uses looks at all mappings of a group once.
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
			u.noReserve = u.noReserve || m.NoReserve
			if m.Offset == 0 && uint64(m.End-m.Start) == u.object.Size {
				u.whole = m
			}
		}
	}
	return uses
}

// IsFile: all but SysV segments, and what mmap(MAP_SHARED|MAP_ANONYMOUS) alone makes. Of huge pages the latter comes
// back as a memfd where it is mapped more than once, as a mapping of these cannot be doubled.
func (u *Use) IsFile() bool {
	switch {
	case u.object.Kind == image.MemorySysV:
		return false
	case u.object.Kind == image.MemoryAnonymous && u.object.HugePageSize != 0:
		return u.only() == nil
	}
	return u.object.Kind != image.MemoryAnonymous
}

// only is the one mapping that has all of the object, or nil.
func (u *Use) only() *image.Mapping {
	if u.mapped != 1 {
		return nil
	}
	return u.whole
}
