package dump

import (
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// plan says which parts of a member's memory to save, and when.
type plan struct {
	twin   []area   // private memory that a fork copies: read when the program runs again
	frozen []area   // private memory that a fork does not copy: read while the program is frozen
	common []common // shared, writable mappings of files
	parts  []part   // mappings of shared objects that can be read only through their mappings

	rests []image.MemoryID // segments of System V that the initiator attaches, because no member maps all of them
}

// area is private memory of one mapping.
type area struct {
	start, end uint64
	saved      proc.Saved
	whole      bool // save the pages of the file, too, up to its end
	huge       bool // of huge pages (hugetlbfs)
}

// part is one mapping of a shared object.
type part struct {
	member *Member
	object image.MemoryID
	offset uint64
	entry  proc.SmapsEntry
}

// add plans how to save the private memory of a mapping.
func (p *plan) add(v image.Mapping, e proc.SmapsEntry) {
	if v.Shared && !v.SelfContained || v.Kind == image.MappingKernel || v.Kind == "" || v.Droppable {
		return
	}
	a := area{start: e.Start, end: e.End, saved: proc.Anonymous, huge: v.HugePageSize > 0}
	if v.Kind != image.MappingAnonymous {
		a.saved = proc.PrivateFile
	}
	if v.SelfContained {
		a.whole = true
		if !v.File.Deleted {
			a.end = min(a.end, a.start+image.PageAlign(uint64(max(v.File.Size-int64(v.Offset), 0))))
		}
	}
	if v.DontFork || v.WipeOnFork || v.HugePageSize > 0 {
		p.frozen = append(p.frozen, a)
	} else {
		p.twin = append(p.twin, a)
	}
}
