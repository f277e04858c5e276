package image

import (
	"fmt"
	"sort"
)

// bounds checks that the frames of an image stay inside the spaces of its group, and that no page is saved twice.
type bounds struct {
	processes map[Pid]*Process
	memory    map[MemoryID]*MemoryObject
	objects   map[ObjectID]*Object
	spaces    map[Space]*room
	seen      coverage
	sameCheck sameCheck
}

// A room is the part of a space that may have content.
type room struct {
	number uint32
	kind   string
	ranges []Run // sorted, joined
}

func newBounds(g *Group) *bounds {
	b := &bounds{processes: make(map[Pid]*Process), memory: make(map[MemoryID]*MemoryObject),
		objects: make(map[ObjectID]*Object), spaces: make(map[Space]*room)}
	for i := range g.Processes {
		b.processes[g.Processes[i].Pid] = &g.Processes[i]
	}
	for i := range g.Memory {
		b.memory[g.Memory[i].ID] = &g.Memory[i]
	}
	for i := range g.Objects {
		b.objects[g.Objects[i].ID] = &g.Objects[i]
	}
	return b
}

// check returns an error if a run of the frame is outside its space or overlaps with an earlier frame.
func (b *bounds) check(f *Frame) error {
	m, ok := b.spaces[f.Space]
	if !ok {
		var err error
		if m, err = b.of(f.Space); err != nil {
			return err
		}
		m.number = uint32(len(b.spaces))
		b.spaces[f.Space] = m
	}
	for i, r := range f.Runs {
		if r.Start%PageSize != 0 || m.kind != objectSpace && r.Length%PageSize != 0 {
			return fmt.Errorf("run %d: %v: not on page boundaries", i, r)
		}
		n := sort.Search(len(m.ranges), func(n int) bool { return m.ranges[n].End() > r.Start })
		if n == len(m.ranges) || r.Start < m.ranges[n].Start || r.End() > m.ranges[n].End() {
			return fmt.Errorf("run %d: %v: not inside %s", i, r, inside[m.kind])
		}
		if err := b.seen.add(m.number, r); err != nil {
			return fmt.Errorf("run %d: %w", i, err)
		}
	}
	if f.Codec != CodecSame {
		return nil
	}
	if err := b.sameCheck.add(f, m.number); err != nil {
		return err
	}
	if len(b.seen.index)+len(b.sameCheck.pages.index) > maxBlocks {
		return errScattered
	}
	return nil
}

var inside = map[string]string{
	processSpace: "a private mapping of the process",
	memorySpace:  "the memory object",
	objectSpace:  "the object's content",
}

func (b *bounds) of(s Space) (*room, error) {
	kind, n, err := s.split()
	if err != nil {
		return nil, err
	}
	switch kind {
	case processSpace:
		if p := b.processes[Pid(n)]; p != nil {
			return &room{kind: kind, ranges: p.own()}, nil
		}
	case memorySpace:
		if m := b.memory[MemoryID(n)]; m != nil {
			return &room{kind: kind, ranges: []Run{{Length: PageAlign(m.Size)}}}, nil
		}
	case objectSpace:
		if o := b.objects[ObjectID(n)]; o != nil {
			return &room{kind: kind, ranges: []Run{{Length: o.Size}}}, nil
		}
	}
	return nil, fmt.Errorf("space %q: not in the group", string(s))
}

// own returns the process's private memory, and the shared mappings of files whose content is in the image.
func (p *Process) own() (ranges []Run) {
	for i := range p.Mappings {
		if m := &p.Mappings[i]; (!m.Shared || m.SelfContained) && m.Kind != MappingKernel {
			ranges = appendRun(ranges, Run{Start: uint64(m.Start), Length: uint64(m.End - m.Start)})
		}
	}
	return ranges
}
