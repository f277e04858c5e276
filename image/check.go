package image

import (
	"errors"
	"fmt"
)

// decodeGroup reads group.json and checks it.
func decodeGroup(text []byte) (*Group, error) {
	if len(text) > maxGroup {
		return nil, fmt.Errorf("%d bytes: more than %d", len(text), maxGroup)
	}
	g := new(Group)
	if err := decodeJSON(text, g); err != nil {
		return nil, err
	}
	return g, g.Check()
}

// checker collects the IDs by which the parts of a group refer to each other.
type checker struct {
	descriptions map[DescriptionID]bool
	memory       map[MemoryID]bool
	objects      map[ObjectID]bool
	tids         map[Pid]bool
}

// Check checks that the parts of the group are consistent: each reference has its target, mappings do not overlap, numbers are in
// range. The error names the field.
func (g *Group) Check() error {
	c := checker{
		descriptions: make(map[DescriptionID]bool),
		memory:       make(map[MemoryID]bool),
		objects:      make(map[ObjectID]bool),
		tids:         make(map[Pid]bool),
	}
	for i := range g.Memory {
		if err := c.object(&g.Memory[i]); err != nil {
			return fmt.Errorf("memory[%d].%w", i, err)
		}
	}
	for i := range g.Objects {
		if err := c.kernelObject(&g.Objects[i]); err != nil {
			return fmt.Errorf("objects[%d].%w", i, err)
		}
	}
	for i := range g.Descriptions {
		if err := c.description(&g.Descriptions[i]); err != nil {
			return fmt.Errorf("descriptions[%d].%w", i, err)
		}
	}
	root := false
	for i := range g.Processes {
		p := &g.Processes[i]
		if err := c.process(p); err != nil {
			return fmt.Errorf("processes[%d].%w", i, err)
		}
		root = root || p.Pid == g.Root
	}
	if !root {
		return fmt.Errorf("root: %d: not one of the processes", g.Root)
	}
	return nil
}

func (c *checker) object(m *MemoryObject) error {
	switch {
	case m.ID <= 0 || c.memory[m.ID]:
		return fmt.Errorf("id: %d: not a new positive number", m.ID)
	case m.Size >= maxObject:
		return fmt.Errorf("size: %d: too large", m.Size)
	case !validPageSize(m.HugePageSize):
		return fmt.Errorf("huge_page_size: %d: not a power of two", m.HugePageSize)
	case (m.Kind == MemorySysV) != (m.SysV != nil):
		return fmt.Errorf("sysv: does not go with kind %q", m.Kind)
	}
	switch m.Kind {
	case MemoryAnonymous, MemoryMemfd, MemorySysV, MemoryFile:
	default:
		return fmt.Errorf("kind: %.40q: unknown", string(m.Kind))
	}
	c.memory[m.ID] = true
	return nil
}

func (c *checker) description(d *Description) error {
	switch {
	case d.ID <= 0 || c.descriptions[d.ID]:
		return fmt.Errorf("id: %d: not a new positive number", d.ID)
	case d.Kind == "":
		return errors.New("kind: empty")
	case d.Object != 0 && !c.objects[d.Object]:
		return fmt.Errorf("object: %d: not one of the objects", d.Object)
	}
	c.descriptions[d.ID] = true
	return nil
}
