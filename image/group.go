package image

import (
	"encoding/json"

	"crak.dev/crak/internal/abi"
)

// A Pid is a process or thread ID in the program's own PID namespace.
type Pid int

// A DescriptionID numbers the open file descriptions of a group, from 1.
type DescriptionID int

// A MemoryID numbers the shared memory objects of a group, from 1; 0 is none.
type MemoryID int

// Group is the whole state in an image except for page contents: the file group.json.
type Group struct {
	Root         Pid            `json:"root"`
	Processes    []Process      `json:"processes,omitempty"` // in the file processes.json
	Descriptions []Description  `json:"descriptions"`
	Memory       []MemoryObject `json:"memory,omitempty"`
	Objects      []Object       `json:"objects,omitempty"`
	Zombies      []Zombie       `json:"zombies,omitempty"`
	Semaphores   []SemaphoreSet `json:"semaphores,omitempty"`
	Queues       []MessageQueue `json:"queues,omitempty"`
}

// Process is one process of the group. Threads has the state that the kernel keeps for each thread.
type Process struct {
	Pid              Pid      `json:"pid"`
	Parent           Pid      `json:"parent"` // a process of the group, or one that is not in the image
	ProcessGroup     Pid      `json:"process_group"`
	Session          Pid      `json:"session"`
	ExitSignal       int      `json:"exit_signal,omitempty"` // sent to the parent when the process ends; 0: none
	Foreground       bool     `json:"foreground,omitempty"`  // its process group is the foreground process group of its controlling terminal
	StoppedBy        int      `json:"stopped_by,omitempty"`  // the signal that stopped the process (SIGSTOP, SIGTSTP, …); 0: it runs
	StopTold         bool     `json:"stop_told,omitempty"`   // the parent has waited for the stop already
	Executable       File     `json:"executable"`
	ExecutableMemory MemoryID `json:"executable_memory,omitempty"` // has the content of a deleted executable
	Cwd              string   `json:"cwd"`
	RootDir          string   `json:"root_dir"`
	Umask            uint32   `json:"umask"`

	Layout   Layout    `json:"layout"`
	Auxv     []byte    `json:"auxv"`           // as in /proc/PID/auxv
	VDSO     []byte    `json:"vdso,omitempty"` // the code that the kernel maps as [vdso]
	Mappings []Mapping `json:"mappings"`

	Threads []Thread `json:"threads"` // the thread group leader first

	Actions []SignalAction `json:"actions"` // of signals 1 to 64, in that order
	Pending []SignalInfo   `json:"pending,omitempty"`

	Intervals [3]IntervalTimer `json:"intervals"` // ITIMER_REAL, _VIRTUAL, _PROF
	Timers    []PosixTimer     `json:"timers,omitempty"`

	Clocks      Clocks       `json:"clocks"` // at the freeze
	CPU         CPU          `json:"cpu"`
	Limits      []Limit      `json:"limits"`
	Attributes  Attributes   `json:"attributes"`
	Descriptors []Descriptor `json:"descriptors"`
}

// Zombie is a process that has ended, and for which its parent has not waited yet. Its parent is a process of the group.
type Zombie struct {
	Pid          Pid    `json:"pid"`
	Parent       Pid    `json:"parent"`
	ProcessGroup Pid    `json:"process_group"`
	Session      Pid    `json:"session"`
	ExitSignal   int    `json:"exit_signal,omitempty"`
	Comm         string `json:"comm"`
	Status       uint32 `json:"status"` // as wait(2) returns it
	UID          uint32 `json:"uid"`    // real user ID (waitid(2), si_uid)
	UserUs       int64  `json:"user_us"`
	SystemUs     int64  `json:"system_us"`
}

// Layout is struct prctl_mm_map without auxv and exe_fd (prctl(2), PR_SET_MM_MAP).
type Layout struct {
	StartCode  Address `json:"start_code"`
	EndCode    Address `json:"end_code"`
	StartData  Address `json:"start_data"`
	EndData    Address `json:"end_data"`
	StartBrk   Address `json:"start_brk"`
	Brk        Address `json:"brk"`
	StartStack Address `json:"start_stack"`
	ArgStart   Address `json:"arg_start"`
	ArgEnd     Address `json:"arg_end"`
	EnvStart   Address `json:"env_start"`
	EnvEnd     Address `json:"env_end"`
}

// File identifies a file that a restart finds again by its path.
type File struct {
	Path    string `json:"path"` // absolute, in the program's mount namespace
	Device  uint64 `json:"device"`
	Inode   uint64 `json:"inode"`
	Mode    uint32 `json:"mode"` // st_mode
	Size    int64  `json:"size"`
	MtimeNs int64  `json:"mtime_ns"`
	Deleted bool   `json:"deleted,omitempty"`

	// Relocated: the user has chosen Path for this restart, so another inode may be there. It is not in an image.
	Relocated bool `json:"relocated,omitempty"`
}

// MappingKind says what a mapping maps.
type MappingKind string

const (
	MappingAnonymous MappingKind = "anonymous" // private, zero-filled
	MappingFile      MappingKind = "file"      // File, private or shared
	MappingMemory    MappingKind = "memory"    // Memory: a shared memory object of the group
	MappingKernel    MappingKind = "kernel"    // Name: [vdso], [vvar], [vvar_vclock]
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

// MemoryObject is memory that several mappings or descriptors can share. Its content is in the space MemorySpace(ID), whose
// addresses are offsets in the object.
type MemoryObject struct {
	ID           MemoryID   `json:"id"`
	Kind         MemoryKind `json:"kind"`
	Name         string     `json:"name,omitempty"` // of a memfd, or the deleted file's path
	Size         uint64     `json:"size"`
	Mode         uint32     `json:"mode,omitempty"`
	Seals        uint32     `json:"seals,omitempty"` // F_GET_SEALS
	HugePageSize uint64     `json:"huge_page_size,omitempty"`
	SysV         *SysV      `json:"sysv,omitempty"`
}

// Thread is one thread: the state that it recorded itself when it parked, and the state from /proc and system calls.
type Thread struct {
	Parked      abi.Thread   `json:"parked"`
	Comm        string       `json:"comm"`
	Schedule    Schedule     `json:"schedule"`
	Affinity    []uint64     `json:"affinity"`    // CPU mask, 64 CPUs a word
	IOPriority  int          `json:"io_priority"` // ioprio_get(2)
	Speculation Speculation  `json:"speculation,omitzero"`
	Credentials Credentials  `json:"credentials"`
	Pending     []SignalInfo `json:"pending,omitempty"`
	Robust      []Robust     `json:"robust,omitempty"` // held by the thread
}

// Robust is a futex word of a robust list (get_robust_list(2)), in a shared mapping of a file. The word exists longer than the
// thread.
type Robust struct {
	Word  Address `json:"word"`
	Value uint32  `json:"value"` // the owner's TID, possibly with FUTEX_WAITERS
}

// Schedule is struct sched_attr (sched_setattr(2)).
type Schedule struct {
	Policy   uint32 `json:"policy"`
	Flags    uint64 `json:"flags,omitempty"`
	Nice     int32  `json:"nice"`
	Priority uint32 `json:"priority,omitempty"`
	Runtime  uint64 `json:"runtime,omitempty"`
	Deadline uint64 `json:"deadline,omitempty"`
	Period   uint64 `json:"period,omitempty"`
	UtilMin  uint32 `json:"util_min,omitempty"` // both 0: the kernel has no utilization clamps
	UtilMax  uint32 `json:"util_max,omitempty"`
}

// Speculation says which kinds of speculative execution a thread has disabled: PR_SPEC_DISABLE, PR_SPEC_FORCE_DISABLE, or 0 for
// not disabled (PR_SET_SPECULATION_CTRL(2const)).
type Speculation struct {
	StoreBypass    uint32 `json:"store_bypass,omitempty"`
	IndirectBranch uint32 `json:"indirect_branch,omitempty"`
}

// Credentials are a thread's IDs (real, effective, saved, file system) and capability sets.
type Credentials struct {
	UID         [4]uint32 `json:"uid"`
	GID         [4]uint32 `json:"gid"`
	Groups      []uint32  `json:"groups"`
	Inheritable uint64    `json:"inheritable"`
	Permitted   uint64    `json:"permitted"`
	Effective   uint64    `json:"effective"`
	Bounding    uint64    `json:"bounding"`
	Ambient     uint64    `json:"ambient"`
	SecureBits  uint32    `json:"secure_bits"`
	NoNewPrivs  bool      `json:"no_new_privs"`
}

// SignalAction is the kernel's struct sigaction (rt_sigaction(2)).
type SignalAction struct {
	Handler  Address `json:"handler"` // 0: SIG_DFL, 1: SIG_IGN
	Flags    uint64  `json:"flags,omitempty"`
	Restorer Address `json:"restorer,omitempty"`
	Mask     uint64  `json:"mask,omitempty"`
}

// IntervalTimer is struct itimerval (getitimer(2)), in microseconds.
type IntervalTimer struct {
	IntervalUs int64 `json:"interval_us"`
	ValueUs    int64 `json:"value_us"`
}

// PosixTimer is a timer of timer_create(2).
type PosixTimer struct {
	ID         int32  `json:"id"`
	Clock      int32  `json:"clock"`
	Notify     int32  `json:"notify"` // SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD_ID
	Signal     int32  `json:"signal"`
	Value      uint64 `json:"value"`         // sigev_value
	Tid        Pid    `json:"tid,omitempty"` // SIGEV_THREAD_ID
	IntervalNs int64  `json:"interval_ns"`
	ValueNs    int64  `json:"value_ns"` // until the next expiration; 0: disarmed
	Overrun    int32  `json:"overrun"`
}

// Clocks are the clocks of clock_gettime(2) that count from the boot of the machine, as the program reads them.
type Clocks struct {
	MonotonicNs int64 `json:"monotonic_ns"`
	BoottimeNs  int64 `json:"boottime_ns"`
}

// CPU is the CPU time that a process had used, over all its restarts, and the addresses where its resident expects it.
type CPU struct {
	TotalNs  int64 `json:"total_ns"` // in user mode and in the kernel
	UserUs   int64 `json:"user_us"`
	SystemUs int64 `json:"system_us"`
	SinceNs  int64 `json:"since_ns"` // of TotalNs, since the last restart

	ChildrenUserUs   int64 `json:"children_user_us"` // of children that it has waited for
	ChildrenSystemUs int64 `json:"children_system_us"`

	Record  Address `json:"record"`  // struct abi_cpu
	Threads Address `json:"threads"` // its table
	Clock   Address `json:"clock"`   // code that clock_gettime must call for clocks of CPU time
}

// Limit is one resource limit (prlimit(2)).
type Limit struct {
	Resource int    `json:"resource"` // RLIMIT_*
	Soft     uint64 `json:"soft"`
	Hard     uint64 `json:"hard"`
}

// Attributes are the settings of a whole process, of prctl(2) and similar calls.
type Attributes struct {
	Personality      uint32 `json:"personality"`
	OOMScoreAdj      int    `json:"oom_score_adj"`
	CoredumpFilter   uint32 `json:"coredump_filter"` // /proc/PID/coredump_filter
	Dumpable         int    `json:"dumpable"`
	ChildSubreaper   bool   `json:"child_subreaper"`
	THPDisable       bool   `json:"thp_disable"`
	THPExceptAdvised bool   `json:"thp_except_advised,omitempty"` // PR_THP_DISABLE_EXCEPT_ADVISED
	MDWE             uint32 `json:"mdwe"`                         // PR_GET_MDWE
	KeepCaps         bool   `json:"keep_caps"`

	LockFuture        bool `json:"lock_future,omitempty"`          // mlockall(MCL_FUTURE)
	LockFutureOnFault bool `json:"lock_future_on_fault,omitempty"` // and MCL_ONFAULT
	MemoryMerge       bool `json:"memory_merge,omitempty"`         // PR_SET_MEMORY_MERGE

	Membarrier     uint32 `json:"membarrier,omitempty"`      // registered with: MEMBARRIER_CMD_REGISTER_* (membarrier(2))
	ExtendedStates uint64 `json:"extended_states,omitempty"` // XSAVE components that the process has requested: AMX

	// The kernel keeps these settings per thread, and new threads inherit them. The image has those of the initiator.
	MachineCheck int  `json:"machine_check,omitempty"` // PR_MCE_KILL: 0 system default, 1 early, 2 late
	NoTimestamp  bool `json:"no_timestamp,omitempty"`  // PR_SET_TSC: to read the counter raises SIGSEGV
}

// Descriptor is one entry of a process's descriptor table.
type Descriptor struct {
	Fd          int           `json:"fd"`
	CloseOnExec bool          `json:"close_on_exec,omitempty"`
	Description DescriptionID `json:"description"`
}

// Description is an open file description, which descriptors share after dup(2) and fork(2). The file of package fd for this kind
// writes and reads Record.
type Description struct {
	ID     DescriptionID   `json:"id"`
	Kind   string          `json:"kind"`
	Object ObjectID        `json:"object,omitempty"` // the object behind it: it is an end or a view of this object
	Flags  uint32          `json:"flags"`            // F_GETFL
	Offset int64           `json:"offset"`
	Owner  *Owner          `json:"owner,omitempty"`
	Locks  []Lock          `json:"locks,omitempty"`
	Record json.RawMessage `json:"record,omitempty"`
}

// Owner is the process, thread or process group that gets the I/O signals of a description (F_GETOWN_EX, F_GETSIG).
type Owner struct {
	Type   int `json:"type"`
	Pid    Pid `json:"pid"`
	Signal int `json:"signal"`
}

// Lock is one file lock (a `lock:` line of /proc/PID/fdinfo). A POSIX lock belongs to Pid, the others to the description.
type Lock struct {
	Type  string `json:"type"` // "POSIX", "OFDLCK", "FLOCK", "LEASE"
	Write bool   `json:"write"`
	Pid   Pid    `json:"pid"`
	Start int64  `json:"start"`
	End   int64  `json:"end"` // inclusive; -1: to the end of the file, also if the file grows
}
