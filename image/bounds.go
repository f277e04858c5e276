package image

import (
	"fmt"
	"math"
	"sort"
)

// bounds knows what each space of a group may have content for.
type bounds struct {
	group  *Group
	ranges map[Space][]Run // sorted, joined
	seen   map[Space]*coverage
}

func newBounds(g *Group) *bounds {
	return &bounds{group: g, ranges: make(map[Space][]Run), seen: make(map[Space]*coverage)}
}

// check says whether all runs of the frame are inside its space, and in no frame before it.
func (b *bounds) check(f *Frame) error {
	ranges, ok := b.ranges[f.Space]
	if !ok {
		var err error
		if ranges, err = b.of(f.Space); err != nil {
			return err
		}
		b.ranges[f.Space] = ranges
		b.seen[f.Space] = new(coverage)
	}
	kind, _, _ := f.Space.split()
	for i, r := range f.Runs {
		if kind != descriptionSpace && kind != objectSpace && (r.Start%PageSize != 0 || r.Length%PageSize != 0) {
			return fmt.Errorf("run %d: %v: not on page boundaries", i, r)
		}
		n := sort.Search(len(ranges), func(n int) bool { return ranges[n].End() > r.Start })
		if n == len(ranges) || r.Start < ranges[n].Start || r.End() > ranges[n].End() {
			return fmt.Errorf("run %d: %v: not inside %s", i, r, inside[kind])
		}
		if err := b.seen[f.Space].add(r); err != nil {
			return fmt.Errorf("run %d: %w", i, err)
		}
	}
	return nil
}

var inside = map[string]string{
	processSpace:     "a private mapping of the process",
	memorySpace:      "the memory object",
	descriptionSpace: "a file",
	objectSpace:      "the object's content",
}

func (b *bounds) of(s Space) ([]Run, error) {
	kind, n, err := s.split()
	if err != nil {
		return nil, err
	}
	switch kind {
	case processSpace:
		for i := range b.group.Processes {
			if p := &b.group.Processes[i]; p.Pid == Pid(n) {
				return p.own(), nil
			}
		}
	case memorySpace:
		for i := range b.group.Memory {
			if m := &b.group.Memory[i]; m.ID == MemoryID(n) {
				return []Run{{Length: (m.Size + PageSize - 1) &^ (PageSize - 1)}}, nil
			}
		}
	case descriptionSpace:
		for i := range b.group.Descriptions {
			if b.group.Descriptions[i].ID == DescriptionID(n) {
				return []Run{{Length: math.MaxInt64}}, nil
			}
		}
	case objectSpace:
		for i := range b.group.Objects {
			if o := &b.group.Objects[i]; o.ID == ObjectID(n) {
				return []Run{{Length: o.Size}}, nil
			}
		}
	}
	return nil, fmt.Errorf("space %q: not in %s", string(s), groupFile)
}

// own is the memory that is the process's own, and what the image has of files that it shares.
func (p *Process) own() (ranges []Run) {
	for i := range p.Mappings {
		if m := &p.Mappings[i]; (!m.Shared || m.SelfContained) && m.Kind != MappingKernel {
			ranges = appendRun(ranges, Run{Start: uint64(m.Start), Length: uint64(m.End - m.Start)})
		}
	}
	return ranges
}
