package dump

import (
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// plan is what is to be saved of a member's memory, and when.
type plan struct {
	files  *files   // behind mappings
	twin   []area   // private memory that a fork copies: read once the program runs again
	frozen []area   // private memory that a fork does not copy: read while it is frozen
	common []common // files that are written to through shared mappings
	parts  []part   // shared objects that can be read through their mappings alone
}

// area is private memory of one mapping.
type area struct {
	start, end uint64
	saved      proc.Saved
	whole      bool // save the file's pages too, to the end of the file
}

// part is where an object is mapped.
type part struct {
	object image.MemoryID
	offset uint64
	entry  proc.SmapsEntry
}

// add plans a mapping.
func (p *plan) add(v image.Mapping, e proc.SmapsEntry) {
	if v.Shared && !v.SelfContained || v.Kind == image.MappingKernel || v.Kind == "" || v.Droppable {
		return
	}
	a := area{start: e.Start, end: e.End, saved: proc.Anonymous}
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
