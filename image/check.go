package image

import (
	"cmp"
	"errors"
	"fmt"
)

// decodeGroup decodes group.json.
func decodeGroup(text []byte) (*Group, error) {
	if len(text) > maxGroup {
		return nil, fmt.Errorf("%d bytes: more than %d", len(text), maxGroup)
	}
	g := new(Group)
	if err := decodeJSON(text, g); err != nil {
		return nil, err
	}
	return g, nil
}

// checker collects the IDs by which the parts of a group refer to each other.
type checker struct {
	descriptions map[DescriptionID]bool
	memory       map[MemoryID]bool
	objects      map[ObjectID]bool
	tids         map[Pid]bool
	pids         map[Pid]bool
}

// Check checks that the parts of the group are consistent: each reference has its target, mappings do not overlap, numbers are in
// range. The error names the field.
func (g *Group) Check() error {
	c := newChecker()
	return cmp.Or(c.shared(g), c.processes(g), c.zombies(g), c.sysv(g))
}

func newChecker() *checker {
	return &checker{
		descriptions: make(map[DescriptionID]bool),
		memory:       make(map[MemoryID]bool),
		objects:      make(map[ObjectID]bool),
		tids:         make(map[Pid]bool),
		pids:         make(map[Pid]bool),
	}
}

// shared checks what the processes have in common.
func (c *checker) shared(g *Group) error {
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
	return nil
}

// processes checks the processes. Preconditions: shared has succeeded.
func (c *checker) processes(g *Group) error {
	for i := range g.Processes {
		p := &g.Processes[i]
		if err := c.process(p); err != nil {
			return fmt.Errorf("processes[%d].%w", i, err)
		}
		c.pids[p.Pid] = true
	}
	if !c.pids[g.Root] {
		return fmt.Errorf("root: %d: not one of the processes", g.Root)
	}
	return nil
}

// zombies checks the processes that have ended. Preconditions: processes has succeeded.
func (c *checker) zombies(g *Group) error {
	for i := range g.Zombies {
		if err := c.zombie(&g.Zombies[i]); err != nil {
			return fmt.Errorf("zombies[%d].%w", i, err)
		}
	}
	return nil
}

func (c *checker) zombie(z *Zombie) error {
	const mostStatus = 0xffff
	if err := checkRelatives(z.Parent, z.ProcessGroup, z.Session); err != nil {
		return err
	}
	switch {
	case z.Pid <= 0 || z.Pid > maxPid || c.tids[z.Pid]:
		return fmt.Errorf("pid: %d: not a new number from 1 to %d", z.Pid, maxPid)
	case !c.pids[z.Parent]:
		return fmt.Errorf("parent: %d: not one of the processes", z.Parent)
	case z.ExitSignal < 0 || z.ExitSignal > signals:
		return fmt.Errorf("exit_signal: %d: not 0 to %d", z.ExitSignal, signals)
	case z.Status > mostStatus || z.Status&0xff == 0x7f || z.Status&0x7f > signals || z.Status&0x7f != 0 && z.Status>>8 != 0:
		return fmt.Errorf("status: %#x: not that of a process that has ended", z.Status)
	}
	c.tids[z.Pid] = true
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
