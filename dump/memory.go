package dump

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// mappings records every VMA and plans which of its pages to save.
//
// Preconditions: m.files has entered the member.
func (m *Member) mappings() error {
	for _, e := range m.entries {
		if e.Path == "[vsyscall]" {
			continue // the kernel's, the same in every process
		}
		mapping, err := m.mapping(e)
		if err != nil {
			return err
		}
		if mapping.Guards, err = guards(m.Live, e); err != nil {
			return err
		}
		m.process.Mappings = append(m.process.Mappings, mapping)
		m.plan.add(mapping, e)
		m.plan.addCommon(len(m.process.Mappings)-1, &mapping)
	}
	return nil
}

// residentFile is the path of libcrak.so, which is the mapping that contains the handler of the freeze signal.
func (m *Member) residentFile() string {
	handler := uint64(m.process.Actions[abi.FreezeSignal-1].Handler)
	for _, e := range m.entries {
		if e.Start <= handler && handler < e.End {
			return e.Path
		}
	}
	return ""
}

// mapping translates an entry of smaps into a record of the image.
func (m *Member) mapping(e proc.SmapsEntry) (image.Mapping, error) {
	v := image.Mapping{
		Start:  image.Address(e.Start),
		End:    image.Address(e.End),
		Prot:   e.Prot,
		Shared: e.Shared,
		Offset: e.Offset,
		Name:   e.Path,
		Policy: m.policies[e.Start],
	}
	setFlags(&v, e)
	if e.Has("ht") {
		v.HugePageSize = e.KernelPageSize
	}
	refuse := func(what, why, do string) { m.refuse(whereOf(e), what, why, do) }
	switch {
	case e.Path == "[vdso]" || strings.HasPrefix(e.Path, "[vvar"):
		v.Kind = image.MappingKernel
	case e.Has("io") || e.Has("pf"):
		refuse(fmt.Sprintf("memory of a device, %q", e.Path),
			"CRAK cannot save the state of a device", "close the device before the checkpoint")
	case e.ProtectionKey != 0 && e.Prot != unix.PROT_EXEC: // the kernel itself gives execute-only memory a key
		refuse(fmt.Sprintf("protection key %d", e.ProtectionKey), "memory protection keys are not supported", "")
	case e.Has("um") || e.Has("uw"):
		refuse("registered with userfaultfd", "not supported", "")
	case e.Path == "/[aio]":
		v.Kind, v.Name, v.Events = image.MappingAIO, "", m.unread[e.Start]
	case e.Path == "/secretmem" && e.Deleted:
		refuse("memory of memfd_secret(2)", "only the program itself can read it",
			"checkpoint the program when it has no secret memory, or start it without")
	case strings.HasPrefix(e.Path, "socket:["):
		refuse("memory of a socket", "packets and received data in the memory of a process (PACKET_RX_RING, TCP_ZEROCOPY_RECEIVE) are not supported",
			"start the program without the feature that needs it")
	case strings.HasPrefix(e.Path, "anon_inode:"):
		refuse(fmt.Sprintf("mapping of %q", e.Path), "not supported", "")
	case e.Anonymous():
		v.Kind, v.Offset = image.MappingAnonymous, 0
	case isMemory(e.Mapping):
		m.memory(&v, e)
	case e.Path == "/dev/zero" && !e.Shared:
		v.Kind, v.Name, v.Offset = image.MappingAnonymous, "", 0
	default:
		return v, m.fileMapping(&v, e)
	}
	return v, nil
}

// whereOf says in an obstacle which mapping it is about.
func whereOf(e proc.SmapsEntry) string { return fmt.Sprintf("mapping %x-%x", e.Start, e.End) }

// setFlags records the flags that madvise, mlock and mmap have set on a mapping.
func setFlags(v *image.Mapping, e proc.SmapsEntry) {
	v.Writable = e.Has("mw")
	v.Locked = e.Has("lo")
	v.LockOnFault = e.Has("lf")
	v.GrowsDown = e.Has("gd")
	v.NoReserve = e.Has("nr")
	v.DontFork = e.Has("dc")
	v.WipeOnFork = e.Has("wf")
	v.DontDump = e.Has("dd")
	v.HugePage = e.Has("hg")
	v.NoHugePage = e.Has("nh")
	v.Mergeable = e.Has("mg")
	v.Sequential = e.Has("sr")
	v.Random = e.Has("rr")
	v.Sealed = e.Has("sl")
	v.Droppable = e.Has("dp")
}

// isMemory reports whether a mapping is of shared memory that is in no visible file system. Its inode is in a tmpfs or
// hugetlbfs of the kernel's own, and its name in maps says how it was made.
func isMemory(e proc.Mapping) bool {
	if strings.HasPrefix(e.Path, "[anon_shmem:") { // the program gave it this name (prctl(2), PR_SET_VMA)
		return true
	}
	if !e.Deleted {
		return false
	}
	return e.Path == "/dev/zero" || e.Path == "/anon_hugepage" || strings.HasPrefix(e.Path, "/memfd:") ||
		strings.HasPrefix(e.Path, "/SYSV")
}

// memory records a mapping of one of the group's memory objects.
func (m *Member) memory(v *image.Mapping, e proc.SmapsEntry) {
	if e.Path == "/anon_hugepage" && !e.Shared {
		v.Kind, v.Name, v.Offset = image.MappingAnonymous, "", 0
		return
	}
	o := image.MemoryObject{Kind: image.MemoryAnonymous, HugePageSize: v.HugePageSize}
	switch {
	case strings.HasPrefix(e.Path, "/memfd:"):
		o.Kind, o.Name = image.MemoryMemfd, strings.TrimPrefix(e.Path, "/memfd:")
	case strings.HasPrefix(e.Path, "/SYSV"):
		o.Kind, o.SysV = image.MemorySysV, &image.SysV{ID: int(e.Inode)}
	}
	v.Kind, v.Name = image.MappingMemory, ""
	v.Memory = m.Table.Object(inodeOf(e), o, nil)
	m.mapped(v, e)
}

// mapped notes that an object is mapped at v. If no descriptor of the object is left, its content is read through its
// mappings. Parts that are not mapped cannot be reached any more, so they need not be saved.
func (m *Member) mapped(v *image.Mapping, e proc.SmapsEntry) {
	if m.Table.HasSource(v.Memory) {
		return
	}
	if e.Has("gu") {
		m.refuse(whereOf(e), "guard pages in shared memory", "the content behind them cannot be read",
			"remove them before the checkpoint (madvise(2), MADV_GUARD_REMOVE)")
	}
	object := &m.Table.Memory[v.Memory-1]
	if object.Kind != image.MemorySysV { // segments asks for that
		object.Size = max(object.Size, v.Offset+m.shownBytes(e, object.Kind))
	}
	if object.Kind == image.MemoryMemfd && e.Has("sh") && !e.Has("mw") {
		object.Seals |= unix.F_SEAL_WRITE // it was mapped through a descriptor for writing, and can never become writable
	}
	m.plan.parts = append(m.plan.parts, part{member: m, object: v.Memory, offset: v.Offset, entry: e})
}

// fileMapping records a mapping of a file.
func (m *Member) fileMapping(v *image.Mapping, e proc.SmapsEntry) error {
	v.Kind, v.Name = image.MappingFile, ""
	found := m.mappedFile(e)
	if why := found.why; why.What != "" {
		m.refuse(whereOf(e), why.What, why.Why, why.Do)
		return nil
	}
	f := found.file
	v.File = &f
	if f.Mode&unix.S_IFMT != unix.S_IFREG {
		m.refuse(whereOf(e), fmt.Sprintf("mapping of %q", e.Path), "not a regular file", "")
		return nil
	}
	if f.Deleted {
		inode := inodeOf(e)
		if e.Shared || m.Table.HasSource(m.Table.Known(inode)) {
			m.deletedFile(v, e, inode)
			return nil
		}
	}
	if m.WithFiles && v.Shared && v.Writable {
		if err := m.Table.CopyMapped(f, m.path("root")+f.Path); err != nil {
			return err
		}
	}
	// The pages of libcrak.so are in every image, so that an image can be restarted after the library was upgraded. A
	// shared, writable mapping cannot do without its file, because its writes go to the file.
	v.SelfContained = (m.SelfContained || f.Deleted || e.Path == m.library) && !(v.Shared && v.Writable)
	return nil
}

// deletedFile records a mapping of a deleted file as a mapping of a memory object of the group. (A private mapping alone
// does not show the whole content of the file.)
func (m *Member) deletedFile(v *image.Mapping, e proc.SmapsEntry, inode fd.Inode) {
	o := image.MemoryObject{Kind: image.MemoryFile, Name: e.Path, Size: uint64(v.File.Size)}
	v.Kind, v.File = image.MappingMemory, nil
	v.Memory = m.Table.Object(inode, o, nil)
	m.mapped(v, e)
}

// guards lists the guard pages of a mapping of a process (madvise(2), MADV_GUARD_INSTALL, Linux 6.13).
func guards(pid int, e proc.SmapsEntry) ([]image.Range, error) {
	if !e.Has("gu") {
		return nil, nil
	}
	pagemap, err := proc.OpenPagemap(pid)
	if err != nil {
		return nil, err
	}
	defer pagemap.Close()
	found, err := pagemap.Guards(e.Start, e.End)
	if err != nil {
		return nil, err
	}
	var all []image.Range
	for _, r := range found {
		all = append(all, image.Range{Start: image.Address(r.Start), End: image.Address(r.End)})
	}
	return all, nil
}
