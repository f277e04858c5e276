package compile

import (
	"reflect"
	"sort"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// Pages are the private pages for which the image has content.
type Pages struct {
	Like image.Pid   // the process that has the content of Same; 0: none
	Same []image.Run // sorted
	Own  []image.Run // sorted
}

// An inheritance is the memory that a process inherits if its parent makes it after crak has filled the parent's memory. The two
// processes then share pages copy-on-write, as they did before the checkpoint.
//
// The process keeps each mapping that is the same in its parent. It unmaps the parent's other mappings. In a kept mapping it
// empties the pages for which the image has content of the parent, and none of the process. Then it maps the rest, and crak fills
// the pages that differ.
type inheritance struct {
	from *compiler
	kept map[int]int // its mapping to the parent's
}

// mostEmptied is how many calls may empty pages of one mapping. If it takes more, the mapping is made anew.
const mostEmptied = 256

// inherit finds the processes that inherit memory. Preconditions: every node has a maker.
func (tr *tree) inherit() {
	for _, n := range tr.nodes {
		if n.kind != aMember || n.maker == nil || n.maker != n.parent || n.maker.kind != aMember || n.member.process.Pages.Like != n.parent.pid {
			continue
		}
		kept := n.member.keeps(n.parent.member)
		i := indexOf(n.parent.late, n)
		if kept == nil || i < 0 {
			continue
		}
		n.member.inherits = &inheritance{n.parent.member, kept}
		n.parent.late = append(n.parent.late[:i:i], n.parent.late[i+1:]...)
		n.parent.last = append(n.parent.last, n)
	}
}

func indexOf(all []*node, n *node) int {
	for i := range all {
		if all[i] == n {
			return i
		}
	}
	return -1
}

// keeps returns the mappings that a process can keep of its parent's: nil if it shares no page with the parent in them, or if the
// kernel's mappings are elsewhere in the parent.
func (c *compiler) keeps(parent *compiler) map[int]int {
	at := make(map[image.Address]int)
	for i := range parent.process.Mappings {
		at[parent.process.Mappings[i].Start] = i
	}
	kept := make(map[int]int)
	shares := false
	for i := range c.process.Mappings {
		m := &c.process.Mappings[i]
		k, ok := at[m.Start]
		if ok = ok && c.isLike(i, parent, k) && (m.Kind == image.MappingKernel || len(c.onlyParents(m)) <= mostEmptied); ok {
			kept[i] = k
			shares = shares || len(in(c.process.Pages.Same, m)) > 0
		} else if m.Kind == image.MappingKernel {
			return nil
		}
	}
	if !shares {
		return nil
	}
	return kept
}

// isLike tells whether fork(2) makes a mapping of a process out of one of its parent.
func (c *compiler) isLike(i int, parent *compiler, k int) bool {
	m, p := c.process.Mappings[i], parent.process.Mappings[k]
	if m.Shared || m.Kind == image.MappingMemory || m.HugePageSize != 0 || m.Droppable {
		return false
	}
	mine, hasMine := c.process.Files[i]
	theirs, hasTheirs := parent.process.Files[k]
	if hasMine != hasTheirs || mine != theirs {
		return false
	}
	if c.process.Filled[i] && parent.process.Mappings[k].Prot&unix.PROT_WRITE == 0 && !parent.process.Filled[k] {
		return false // crak could not write to it
	}
	// These flags are set after the memory is filled. The name does not matter to the program.
	for _, v := range []*image.Mapping{&m, &p} {
		v.Prot, v.Guards, v.Name, v.Sum = 0, nil, "", ""
		v.Locked, v.LockOnFault, v.DontFork, v.WipeOnFork, v.DontDump, v.Mergeable, v.Sequential, v.Random, v.Sealed =
			false, false, false, false, false, false, false, false, false
	}
	if m.Kind == image.MappingKernel {
		m.Name, p.Name = c.process.Mappings[i].Name, parent.process.Mappings[k].Name
	}
	return reflect.DeepEqual(m, p)
}

// unmapRest unmaps what a process does not keep of its parent's memory, and empties the pages that only the parent has.
func (c *compiler) unmapRest() {
	parent := c.inherits.from.process
	keeps := make(map[int]bool)
	for _, k := range c.inherits.kept {
		keeps[k] = true
	}
	for k := range parent.Mappings {
		m := &parent.Mappings[k]
		start, length := program.Const(m.Start), program.Const(m.End-m.Start)
		if !keeps[k] {
			c.b.Call(unix.SYS_MUNMAP, start, length).Note("its parent's")
			continue
		}
		if m.Kind == image.MappingKernel {
			continue
		}
		for _, r := range c.onlyParents(m) {
			c.b.Call(unix.SYS_MADVISE, program.Const(r.Start), program.Const(r.Length), program.Const(unix.MADV_DONTNEED)).
				Note("only its parent has these pages")
		}
	}
}

// emptyInherited empties the memory of a process that shares none with its parent, if its parent inherits memory: the process
// begins with the memory of the parent's parent. It moves the kernel's mappings back into the staging area, where its children
// expect them.
func (c *compiler) emptyInherited() {
	from := c.finds()
	if from == nil || c.inherits != nil {
		return
	}
	staged := uint64(0)
	for _, k := range c.target.Kernel {
		for i := range from.process.Mappings {
			m := &from.process.Mappings[i]
			if m.Kind == image.MappingKernel && m.Name == k.Path && uint64(m.End-m.Start) == k.Size() {
				c.b.Call(unix.SYS_MREMAP, program.Const(m.Start), program.Const(k.Size()), program.Const(k.Size()),
					program.Const(unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED), program.Staging.At(staged)).Note(k.Path + ", back")
			}
		}
		staged += k.Size()
	}
	c.b.Call(unix.SYS_MUNMAP, program.Const(0), program.Area).Note("another process's memory")
	c.b.Call(unix.SYS_MUNMAP, program.AreaEnd, program.Beyond(program.UserEnd))
}

// finds returns the process whose memory a process has when it begins. It is nil if there is only the interpreter's area.
func (c *compiler) finds() *compiler {
	for n := c.node.maker; n != nil; n = n.maker {
		if n.kind == aMember {
			if n.member.inherits == nil {
				return nil
			}
			return n.member.inherits.from
		}
	}
	return nil
}

// onlyParents returns the pages of a mapping for which the parent has content, and the process has none.
func (c *compiler) onlyParents(m *image.Mapping) []image.Run {
	parent, own := &c.node.parent.member.process.Pages, &c.process.Pages
	whole := []image.Run{{Start: uint64(m.Start), Length: uint64(m.End - m.Start)}}
	none := image.Subtract(image.Subtract(whole, in(parent.Same, m)), in(parent.Own, m))
	only := image.Subtract(whole, none)
	return image.Subtract(image.Subtract(only, in(own.Same, m)), in(own.Own, m))
}

// in returns the runs that overlap a mapping. Preconditions: the runs are sorted.
func in(runs []image.Run, m *image.Mapping) []image.Run {
	from := sort.Search(len(runs), func(i int) bool { return runs[i].End() > uint64(m.Start) })
	to := sort.Search(len(runs), func(i int) bool { return runs[i].Start >= uint64(m.End) })
	return runs[from:max(from, to)]
}

// keptOf returns the mapping of the parent that a process keeps as its mapping i.
func (c *compiler) keptOf(i int) (k int, kept bool) {
	if c.inherits == nil {
		return 0, false
	}
	k, kept = c.inherits.kept[i]
	return k, kept
}

// keptPages returns the pages that a process has from its parent, and that crak need not fill.
func (c *compiler) keptPages() []image.Run {
	if c.inherits == nil {
		return nil
	}
	var whole []image.Run
	for i := range c.process.Mappings {
		if _, ok := c.inherits.kept[i]; ok {
			m := &c.process.Mappings[i]
			whole = append(whole, image.Run{Start: uint64(m.Start), Length: uint64(m.End - m.Start)})
		}
	}
	same := c.process.Pages.Same
	return image.Subtract(same, image.Subtract(same, whole))
}
