package image

// A MemoryID numbers the shared memory objects of a group, from 1; 0 is none.
type MemoryID int

// MappingKind says what a mapping maps.
type MappingKind string

const (
	MappingAnonymous MappingKind = "anonymous" // private, zero-filled
	MappingFile      MappingKind = "file"      // File, private or shared
	MappingMemory    MappingKind = "memory"    // Memory: a shared memory object of the group
	MappingKernel    MappingKind = "kernel"    // Name: [vdso], [vvar], [vvar_vclock]
	MappingAIO       MappingKind = "aio"       // the ring of a context of kernel AIO (io_setup(2))
)

// Mapping is one VMA. Its private pages are in the space of its process, except for pages that equal those of the mapped file. Its
// shared pages are in the space of its memory object.
type Mapping struct {
	Start    Address     `json:"start"`
	End      Address     `json:"end"`
	Prot     uint32      `json:"prot"` // PROT_*
	Shared   bool        `json:"shared,omitempty"`
	Kind     MappingKind `json:"kind"`
	Name     string      `json:"name,omitempty"`   // as /proc/PID/maps shows it: [heap], [stack], [anon:x]
	Offset   uint64      `json:"offset,omitempty"` // bytes, into File or Memory
	File     *File       `json:"file,omitempty"`
	Memory   MemoryID    `json:"memory,omitempty"`
	Writable bool        `json:"writable,omitempty"` // shared: VM_MAYWRITE, the file was open for writing
	Sum      string      `json:"sum,omitempty"`      // shared, writable mapping of a file: SHA-256 of the mapped part, hex

	// SelfContained: the image has every page of this file mapping that is within the file. If the file is missing or
	// differs, a restart restores the mapping without it. The mapping is not both shared and writable.
	SelfContained bool `json:"self_contained,omitempty"`

	Events []byte `json:"events,omitempty"` // ring of a context: struct io_event[], which the program has not read

	Guards []Range `json:"guards,omitempty"` // MADV_GUARD_INSTALL

	HugePageSize uint64 `json:"huge_page_size,omitempty"` // bytes; MAP_HUGETLB
	Locked       bool   `json:"locked,omitempty"`
	LockOnFault  bool   `json:"lock_on_fault,omitempty"` // mlock2(MLOCK_ONFAULT)
	GrowsDown    bool   `json:"grows_down,omitempty"`
	NoReserve    bool   `json:"no_reserve,omitempty"`
	DontFork     bool   `json:"dont_fork,omitempty"`
	WipeOnFork   bool   `json:"wipe_on_fork,omitempty"`
	DontDump     bool   `json:"dont_dump,omitempty"`
	HugePage     bool   `json:"huge_page,omitempty"`
	NoHugePage   bool   `json:"no_huge_page,omitempty"`
	Mergeable    bool   `json:"mergeable,omitempty"`
	Sequential   bool   `json:"sequential,omitempty"`
	Random       bool   `json:"random,omitempty"`
	Sealed       bool   `json:"sealed,omitempty"`    // mseal(2)
	Droppable    bool   `json:"droppable,omitempty"` // MAP_DROPPABLE: empty after a restart

	Policy *MemoryPolicy `json:"policy,omitempty"` // mbind(2)
}

// SummedMost is the largest total size, in bytes, of the mappings of a process that have a Sum. A restart reads all of them.
const SummedMost = 1 << 30

// MemoryPolicy says from which NUMA nodes the kernel allocates memory (set_mempolicy(2)).
type MemoryPolicy struct {
	Mode  int32    `json:"mode"` // MPOL_*, with its mode flags
	Nodes []uint64 `json:"nodes"`
}

// Range is [Start, End) of an address space.
type Range struct {
	Start Address `json:"start"`
	End   Address `json:"end"`
}

// MemoryKind says how a shared memory object was made.
type MemoryKind string

const (
	MemoryAnonymous MemoryKind = "anonymous" // MAP_SHARED|MAP_ANONYMOUS, or /dev/zero
	MemoryMemfd     MemoryKind = "memfd"     // memfd_create
	MemorySysV      MemoryKind = "sysv"      // shmget
	MemoryFile      MemoryKind = "file"      // a deleted file
)

// FileOwner is the user and the group to which a file belongs.
type FileOwner struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// MemoryObject is memory that several mappings or descriptors can share. Its content is in the space MemorySpace(ID), whose
// addresses are offsets in the object.
type MemoryObject struct {
	ID           MemoryID   `json:"id"`
	Kind         MemoryKind `json:"kind"`
	Name         string     `json:"name,omitempty"` // of a memfd, or the deleted file's path
	Size         uint64     `json:"size"`
	Mode         uint32     `json:"mode,omitempty"`
	Owner        *FileOwner `json:"owner,omitempty"` // of a deleted file
	Seals        uint32     `json:"seals,omitempty"` // F_GET_SEALS
	HugePageSize uint64     `json:"huge_page_size,omitempty"`
	SysV         *SysV      `json:"sysv,omitempty"`
}
