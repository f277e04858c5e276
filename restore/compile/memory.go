package compile

import (
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

const readWrite = unix.PROT_READ | unix.PROT_WRITE

// stage gives all processes what they inherit. It sets all signals to their default actions, and ignores SIGCHLD. It moves the
// kernel's mappings into the staging area, empties the rest of the address space, and makes the shared memory objects that are no
// files in the staging area.
func (c *compiler) stage(b *program.Builder) {
	c.defaultActions(b)
	for _, k := range c.target.Kernel {
		b.Call(unix.SYS_MREMAP, program.Const(k.Start), program.Const(k.Size()), program.Const(k.Size()),
			program.Const(unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED), program.Staging.At(c.set.Staging)).Note(k.Path + ", out of the way")
		c.set.Staging += k.Size()
	}
	b.Call(unix.SYS_MUNMAP, program.Const(0), program.Area).Note("everything below the interpreter")
	b.Call(unix.SYS_MUNMAP, program.AreaEnd, program.Beyond(program.UserEnd)).Note("everything above")
	for i := range c.target.Group.Memory {
		c.stageShared(b, &c.target.Group.Memory[i])
	}
}

// memoryMap maps everything. A mapping for which the image has content is writable until it is filled.
func (c *compiler) memoryMap() {
	if c.inherits != nil {
		c.unmapRest()
	}
	for i := range c.process.Mappings {
		m := &c.process.Mappings[i]
		if _, kept := c.keptOf(i); kept {
			continue
		}
		switch object := c.staged(m); {
		case m.Kind == image.MappingKernel:
			c.moveKernel(m)
		case m.Kind == image.MappingAIO:
			c.reserveRing(m)
			continue
		case object != nil:
			c.mapShared(m, object)
		default:
			c.mapOne(i, m)
		}
		c.comeFrom(m)
	}
}

// moveKernel moves a mapping of the kernel (vdso, vvar) from the staging area to its place in the image.
func (c *compiler) moveKernel(m *image.Mapping) {
	staged := uint64(0)
	for _, k := range c.target.Kernel {
		if k.Path == m.Name && k.Size() == uint64(m.End-m.Start) {
			c.b.Call(unix.SYS_MREMAP, program.Staging.At(staged), program.Const(k.Size()), program.Const(k.Size()),
				program.Const(unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED), program.Const(m.Start)).
				Want(uint64(m.Start)).Note(m.Name)
			return
		}
		staged += k.Size()
	}
	if m.Name != "[uprobes]" {
		c.fail(fmt.Errorf("%s: this kernel has none of %d bytes", m.Name, m.End-m.Start))
	}
}

// mostAtOnce is the largest piece of writable private memory that is mapped by one call. With vm.overcommit_memory 0 the
// kernel refuses a call that asks for more than the machine has. A mapping can still be larger: it grew, or the kernel merged it
// from several. The kernel merges the pieces again. Above the address space of four levels of page tables the pieces are
// larger, so that the number of calls is bounded for every image.
const (
	mostAtOnce      = 1 << 30
	mostAtOnceAbove = 1 << 40
)

func (c *compiler) mapOne(i int, m *image.Mapping) {
	flags, fd, note := unix.MAP_FIXED_NOREPLACE, -1, m.Name
	if m.Shared {
		flags |= unix.MAP_SHARED
	} else {
		flags |= unix.MAP_PRIVATE
	}
	switch m.Kind {
	case image.MappingFile:
		note = fmt.Sprintf("%q", m.File.Path)
		if n, ok := c.process.Files[i]; ok && !c.filledInFile(i) {
			fd = n
		}
	case image.MappingMemory:
		note = fmt.Sprintf("memory object %d", m.Memory)
		if n, ok := c.target.Memory[m.Memory]; ok {
			fd = n
		}
		if n, ok := c.target.ReadOnly[m.Memory]; ok && mapsReadOnly(m) {
			fd = n
		}
	}
	offset := m.Offset
	if fd < 0 {
		flags, offset = flags|unix.MAP_ANONYMOUS, 0
	}
	if m.Droppable { // for example the state of a random generator: the image does not have it, so that it is never used twice
		flags = flags&^unix.MAP_PRIVATE | unix.MAP_DROPPABLE
	}
	if m.GrowsDown {
		flags |= unix.MAP_GROWSDOWN // not MAP_STACK: since Linux 6.7 it forbids huge pages
	}
	if m.NoReserve {
		flags |= unix.MAP_NORESERVE
	}
	if m.HugePageSize != 0 && fd < 0 {
		flags |= unix.MAP_HUGETLB | bits.TrailingZeros64(m.HugePageSize)<<unix.MAP_HUGE_SHIFT
	}
	step := m.End - m.Start
	if fd < 0 && !m.Shared && !m.GrowsDown && !m.NoReserve && m.HugePageSize == 0 && c.firstProt(i)&unix.PROT_WRITE != 0 {
		if step = mostAtOnce; m.End > program.UserEnd {
			step = mostAtOnceAbove
		}
	}
	for at := m.Start; at < m.End; at += step {
		c.b.Call(unix.SYS_MMAP, program.Const(at), program.Const(min(step, m.End-at)), program.Const(c.firstProt(i)),
			program.Const(flags), program.Const(fd), program.Const(offset)).Want(uint64(at)).Note(note)
	}
	// Before the pages are allocated, because this decides their size.
	c.advise(m, m.HugePage, unix.MADV_HUGEPAGE)
	c.advise(m, m.NoHugePage, unix.MADV_NOHUGEPAGE)
}

// firstProt is the protection until memoryFinish: a mapping that is filled must be writable.
func (c *compiler) firstProt(i int) uint32 {
	m := &c.process.Mappings[i]
	if k, kept := c.keptOf(i); kept {
		return c.inherits.from.firstProt(k)
	}
	if c.process.Filled[i] && m.Prot&unix.PROT_WRITE == 0 {
		return readWrite
	}
	return m.Prot
}

// filledInFile tells whether the image has content for a shared mapping whose file is unchanged. The content must not be
// written to the file. So anonymous memory is filled in its place, and memoryFinish maps the file over that.
func (c *compiler) filledInFile(i int) bool {
	_, there := c.process.Files[i]
	return there && c.process.Filled[i] && c.process.Mappings[i].Shared
}

// comeFrom sets the NUMA policy. It comes before the pages are allocated. It may fail: this machine may have fewer nodes.
func (c *compiler) comeFrom(m *image.Mapping) {
	if p := m.Policy; p != nil {
		c.b.Call(unix.SYS_MBIND, program.Const(m.Start), program.Const(m.End-m.Start), program.Const(p.Mode),
			c.set.Struct(p.Nodes), program.Const(64*len(p.Nodes)), program.Const(0)).MayFail()
	}
}

func (c *compiler) advise(m *image.Mapping, on bool, advice int) {
	if on {
		c.b.Call(unix.SYS_MADVISE, program.Const(m.Start), program.Const(m.End-m.Start), program.Const(advice)).
			MayFail() // the kernel may be built without it
	}
}

const (
	prSetVMA         = 0x53564d41 // PR_SET_VMA, since Linux 5.17
	prSetVMAAnonName = 0
	madvGuardInstall = 102 // MADV_GUARD_INSTALL, since Linux 6.13
)

// memoryFinish sets what must not be set while memory is filled: protections, advice, locks, seals.
func (c *compiler) memoryFinish() {
	c.contexts()
	for i := range c.process.Mappings {
		m := &c.process.Mappings[i]
		if m.Kind == image.MappingKernel {
			continue
		}
		start, length := program.Const(m.Start), program.Const(m.End-m.Start)
		if c.filledInFile(i) {
			c.b.Call(unix.SYS_MMAP, start, length, program.Const(m.Prot), program.Const(unix.MAP_SHARED|unix.MAP_FIXED),
				program.Const(c.process.Files[i]), program.Const(m.Offset)).Want(uint64(m.Start)).Note(fmt.Sprintf("%q", m.File.Path))
		} else if c.firstProt(i) != m.Prot {
			c.b.Call(unix.SYS_MPROTECT, start, length, program.Const(m.Prot)).Note(m.Name)
		}
		c.advise(m, m.DontFork, unix.MADV_DONTFORK)
		c.advise(m, m.WipeOnFork, unix.MADV_WIPEONFORK)
		c.advise(m, m.DontDump, unix.MADV_DONTDUMP)
		c.advise(m, m.Mergeable, unix.MADV_MERGEABLE)
		c.advise(m, m.Sequential, unix.MADV_SEQUENTIAL)
		c.advise(m, m.Random, unix.MADV_RANDOM)
		switch {
		case m.LockOnFault:
			c.b.Call(unix.SYS_MLOCK2, start, length, program.Const(unix.MLOCK_ONFAULT)).MayFail()
		case m.Locked:
			c.b.Call(unix.SYS_MLOCK, start, length).MayFail()
		}
		for _, g := range m.Guards {
			c.b.Call(unix.SYS_MADVISE, program.Const(g.Start), program.Const(g.End-g.Start), program.Const(madvGuardInstall))
		}
		if name, ok := anonymousName(m.Name); ok && m.Kind == image.MappingAnonymous {
			c.b.Call(unix.SYS_PRCTL, program.Const(prSetVMA), program.Const(prSetVMAAnonName), start, length,
				c.set.String(name)).Any() // the kernel may be built without it, and the name is for people only
		}
		if m.Sealed {
			c.b.Call(unix.SYS_MSEAL, start, length, program.Const(0))
		}
	}
}

// anonymousName returns the name in "[anon:name]".
func anonymousName(s string) (string, bool) {
	const before, after = "[anon:", "]"
	if len(s) <= len(before)+len(after) || s[:len(before)] != before || s[len(s)-1:] != after {
		return "", false
	}
	return s[len(before) : len(s)-1], true
}
