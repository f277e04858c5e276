package restore

import (
	"cmp"
	"slices"
	"sort"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/compile"
)

// A plan says which descriptions the interpreter inherits, and which ones members receive in batches. A process inherits its
// descriptors from its maker in one system call, and receives one in five. So a description is in a batch only if crak may not have so
// many open at once: first those that the fewest members have.
type plan struct {
	sets    map[image.DescriptionID][]image.Description // those of batches, with what is made together with them
	batches map[image.Pid][][]image.DescriptionID       // what each member receives
	turns   []image.Pid                                 // the order in which members receive
	wanted  int                                         // how many numbers members use
	need    int                                         // how many descriptors crak, or a member, has at most at the same time
}

const (
	ofCrak    = 40 // the image, and what crak has open for a moment
	notFree   = 20 // numbers that crak's own descriptors have, the control socket, and the file of the programs
	batchMost = 32 // descriptions in one message
	madePipe  = 3  // descriptors of a pipe while it is made
)

func descriptorLimit() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Max
}

func newPlan(g *image.Group, env *fd.Env, limit int) *plan {
	p := &plan{wanted: len(newDescriptors(g).wanted)}
	if p.with(g, nil, limit) <= limit {
		return p
	}
	holders := make(map[image.DescriptionID]int)
	for i := range g.Processes {
		for _, id := range has(&g.Processes[i]) {
			holders[id]++
		}
	}
	all := fd.Separate(g, env)
	slices.SortStableFunc(all, func(a, b []image.Description) int { return cmp.Compare(holders[a[0].ID], holders[b[0].ID]) })
	n := sort.Search(len(all), func(n int) bool { return p.with(g, all[:n], limit) <= limit })
	p.with(g, all[:n], limit)
	return p
}

// with puts sets into batches. It returns how many descriptors the restart needs.
//
// The number of members does not matter. There is one descriptor for each file, memory object and description that the interpreter
// inherits. While these are made, there is one more for each end of a kernel object, and then one more for each whose number a member
// uses. (Only if queues have descriptions that members make, both are there at the same time.) After that come the batches. A member has
// what the interpreter has inherited, its own numbers, and a batch.
func (p *plan) with(g *image.Group, sets [][]image.Description, limit int) int {
	p.turns = nil
	p.sets, p.batches = make(map[image.DescriptionID][]image.Description), make(map[image.Pid][][]image.DescriptionID)
	for _, set := range sets {
		for _, d := range set {
			p.sets[d.ID] = set
		}
	}
	inherited, ends := p.inherited(g)
	table := p.wanted + inherited + notFree
	length := min(max(limit-table, 1), batchMost)
	left := make(map[image.DescriptionID]int)
	for i := range g.Processes {
		var all []image.DescriptionID
		for _, id := range has(&g.Processes[i]) {
			if p.sets[id] != nil {
				all = append(all, id)
				left[id]++
			}
		}
		for batch := range slices.Chunk(all, length) {
			p.batches[g.Processes[i].Pid] = append(p.batches[g.Processes[i].Pid], batch)
		}
		if len(all) > 0 {
			p.turns = append(p.turns, g.Processes[i].Pid)
		}
	}
	// Members that share descriptions come one after the other.
	slices.SortStableFunc(p.turns, func(a, b image.Pid) int { return cmp.Compare(p.batches[a][0][0], p.batches[b][0][0]) })
	if len(sets) > 0 {
		table += length
	}
	p.need = max(table, ofCrak+inherited+max(ends, min(inherited, p.wanted), p.most(left)))
	return p.need
}

// inherited counts what the interpreter inherits, and how many of these are ends of kernel objects.
func (p *plan) inherited(g *image.Group) (all, ends int) {
	files := make(map[mappedFile]bool)
	executables := make(map[executableFile]bool)
	directories := make(map[string]bool) // working directories that were removed
	for i := range g.Processes {
		of := &g.Processes[i]
		executables[executableFile{of.Executable, of.ExecutableMemory}] = true
		if path, removed := removedDirectory(of.Cwd); removed {
			directories[path] = true
		}
		for j := range of.Mappings {
			if m := &of.Mappings[j]; m.Kind == image.MappingFile && m.File != nil {
				files[behind(m)] = true
			}
		}
	}
	all = len(files) + len(executables) + len(directories)
	for i := range g.Descriptions {
		switch d := &g.Descriptions[i]; {
		case p.sets[d.ID] != nil:
			continue
		case d.Object != 0:
			ends++
		}
		all++
	}
	for _, u := range compile.Uses(g) {
		if u.IsFile() {
			all++
		}
		if u.IsReadOnly() {
			all++
		}
	}
	return all, ends
}

// most is how many descriptions of batches are open at most at the same time. left is how many members receive each one.
func (p *plan) most(left map[image.DescriptionID]int) (most int) {
	open := make(map[image.DescriptionID]bool)
	for _, pid := range p.turns {
		for _, batch := range p.batches[pid] {
			for _, id := range batch {
				for _, d := range p.sets[id] {
					if left[d.ID] > 0 {
						open[d.ID] = true
					}
				}
				most = max(most, len(open)+madePipe)
			}
			for _, id := range batch {
				if left[id]--; left[id] == 0 {
					delete(open, id)
				}
			}
		}
	}
	return most
}

// has lists the descriptions of a process, each once.
func has(p *image.Process) (all []image.DescriptionID) {
	for _, d := range p.Descriptors {
		all = append(all, d.Description)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
