package compile

import (
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

const (
	shmReadOnly = 0o10000  // SHM_RDONLY
	shmRemap    = 0o40000  // SHM_REMAP
	shmExec     = 0o100000 // SHM_EXEC
)

// stageShared makes a memory object that is no file. It is mapped in the staging area, where crak fills it, and mapShared
// maps it to its places from there. The mapping in the staging area is unmapped with the interpreter's area.
func (c *compiler) stageShared(b *program.Builder, m *image.MemoryObject) {
	use := c.uses[m.ID]
	if use.IsFile() {
		return
	}
	if m.HugePageSize != 0 {
		c.shared[m.ID] = program.Const(use.only().Start) // it is filled at its only place
		return
	}
	at, size := program.Staging.At(c.set.Staging), image.PageAlign(m.Size)
	if size > program.UserEnd || c.set.Staging+size > program.UserEnd {
		c.fail(fmt.Errorf("memory object %d: %d bytes: more than an address space", m.ID, m.Size))
		return
	}
	note := fmt.Sprintf("memory object %d", m.ID)
	if m.Kind == image.MemorySysV {
		b.Call(unix.SYS_SHMAT, program.Const(m.SysV.ID), at, program.Const(shmRemap)).Note(note)
	} else {
		flags := unix.MAP_SHARED | unix.MAP_ANONYMOUS | unix.MAP_FIXED
		if use.noReserve {
			flags |= unix.MAP_NORESERVE
		}
		b.Call(unix.SYS_MMAP, at, program.Const(size), program.Const(readWrite), program.Const(flags),
			program.Const(-1), program.Const(0)).Note(note)
	}
	c.shared[m.ID] = at
	c.set.Staging += size
}

// staged returns the object in the staging area to which a mapping belongs. It is nil if there is none.
func (c *compiler) staged(m *image.Mapping) *image.MemoryObject {
	if m.Kind != image.MappingMemory {
		return nil
	}
	if u := c.uses[m.Memory]; u != nil && !u.IsFile() && u.object.HugePageSize == 0 {
		return u.object
	}
	return nil
}

// mapShared maps a part of an object in the staging area a second time: mremap(2) with an old size of 0 does that for a
// shared mapping. A whole segment that was attached read-only is attached again, so that mprotect(2) cannot make it writable.
func (c *compiler) mapShared(m *image.Mapping, o *image.MemoryObject) {
	start, length := program.Const(m.Start), uint64(m.End-m.Start)
	note := fmt.Sprintf("memory object %d", o.ID)
	if o.Kind == image.MemorySysV && !m.Writable && m.Offset == 0 && length == image.PageAlign(o.Size) {
		flags := shmReadOnly
		if m.Prot&unix.PROT_EXEC != 0 {
			flags |= shmExec
		}
		c.b.Call(unix.SYS_SHMAT, program.Const(o.SysV.ID), start, program.Const(flags)).Want(uint64(m.Start)).Note(note)
		return
	}
	c.b.Call(unix.SYS_MREMAP, c.shared[o.ID].At(m.Offset), program.Const(0), program.Const(length),
		program.Const(unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED), start).Want(uint64(m.Start)).Note(note)
	c.advise(m, m.HugePage, unix.MADV_HUGEPAGE)
	c.advise(m, m.NoHugePage, unix.MADV_NOHUGEPAGE)
	if m.Prot != readWrite {
		c.b.Call(unix.SYS_MPROTECT, start, program.Const(length), program.Const(m.Prot))
	}
}
