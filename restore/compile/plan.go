package compile

import (
	"strings"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// Plan returns a target and processes with the descriptors that a restart would have. Their numbers are above those that
// the processes use.
func Plan(g *image.Group) (*Target, []*Process) {
	t := &Target{Group: g, Memory: make(map[image.MemoryID]int), ReadOnly: make(map[image.MemoryID]int),
		Descriptions: make(map[image.DescriptionID]int)}
	next := 10
	for i := range g.Processes {
		for _, d := range g.Processes[i].Descriptors {
			next = max(next, d.Fd+1)
		}
	}
	for _, d := range g.Descriptions {
		for _, n := range fd.Refers(d).Numbers {
			next = max(next, n+1)
		}
	}
	take := func() int { next++; return next - 1 }
	t.Control = take()
	files := make(map[image.File]int)
	var all []*Process
	for i := range g.Processes {
		p := &Process{Process: &g.Processes[i], Exe: take(), Files: make(map[int]int), Removed: -1}
		if strings.HasSuffix(p.Cwd, " (deleted)") {
			p.Removed = take()
		}
		for at := range p.Mappings {
			if p.Mappings[at].Kind == image.MappingFile {
				file := *p.Mappings[at].File
				if files[file] == 0 {
					files[file] = take()
				}
				p.Files[at] = files[file]
			}
		}
		all = append(all, p)
	}
	uses := Uses(g)
	for i := range g.Memory {
		m := &g.Memory[i]
		if uses[m.ID].IsFile() {
			t.Memory[m.ID] = take()
			if uses[m.ID].IsReadOnly() {
				t.ReadOnly[m.ID] = take()
			}
		}
	}
	for _, d := range g.Descriptions {
		t.Descriptions[d.ID] = take()
	}
	return t, all
}
