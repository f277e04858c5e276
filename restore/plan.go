package restore

import (
	"io"
	"os"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// Plan prints the programs that a restart of an image on this machine would run.
func Plan(w io.Writer, img *image.Image) error {
	p := &img.Group.Processes[0]
	mappings, err := proc.Read(os.Getpid(), "maps", proc.Maps)
	if err != nil {
		return err
	}
	status, err := proc.Read(os.Getpid(), "status", proc.Status)
	if err != nil {
		return err
	}
	filled, err := filledMappings(img, p)
	if err != nil {
		return err
	}
	s := plannedTarget(img.Group, p)
	s.filled, s.kernel, s.credentials = filled, kernelMappings(mappings), credentialsFrom(&status)
	s.hard, s.timerIDs, s.now = hardLimits(), timerIDs(), now
	c, err := compile(s, 3)
	if err != nil {
		return err
	}
	return c.set.Print(w)
}

// plannedTarget numbers the descriptors that a restart would have, from above those that the program uses.
func plannedTarget(g *image.Group, p *image.Process) *target {
	s := &target{group: g, process: p, uses: memoryUses(g), mode: mode{group: groupOwn, first: isFirst(g)}, files: make(map[int]int),
		memory: make(map[image.MemoryID]int), segments: make(map[image.MemoryID]int),
		descriptions: make(map[image.DescriptionID]int)}
	next := 10
	for _, d := range p.Descriptors {
		next = max(next, d.Fd+1)
	}
	take := func() int { next++; return next - 1 }
	s.control, s.executable = take(), take()
	for i := range p.Mappings {
		if p.Mappings[i].Kind == image.MappingFile {
			s.files[i] = take()
		}
	}
	for i := range g.Memory {
		m := &g.Memory[i]
		if m.Kind == image.MemorySysV {
			s.segments[m.ID] = m.SysV.ID
		} else if s.uses[m.ID].isFile() {
			s.memory[m.ID] = take()
		}
	}
	for _, d := range g.Descriptions {
		s.descriptions[d.ID] = take()
	}
	return s
}
