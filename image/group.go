package image

// A Pid is a process or thread ID in the program's own PID namespace.
type Pid int

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

	PrivateNetwork bool   `json:"private_network,omitempty"` // the group has a network namespace of its own, with a loopback interface
	PrivateLink    string `json:"private_link,omitempty"`    // and with this link to another one: "10.9.0.2/24,10.9.0.1" (network.Link)

	PrivateSettings *NetworkSettings `json:"private_settings,omitempty"` // of that namespace
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
	Mode    uint32 `json:"mode"`          // st_mode
	UID     uint32 `json:"uid,omitempty"` // of its owner
	Size    int64  `json:"size"`
	MtimeNs int64  `json:"mtime_ns"`
	Deleted bool   `json:"deleted,omitempty"`

	// Relocated: the user has chosen Path for this restart, so another inode may be there. It is not in an image.
	Relocated bool `json:"relocated,omitempty"`

	// Accepted: the user has chosen to take this file as it is. It is not in an image, either.
	Accepted bool `json:"accepted,omitempty"`
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

	FutexSlots *uint32 `json:"futex_slots,omitempty"` // PR_FUTEX_HASH, unless the kernel has chosen: slots of the table, 0: that of the system
	TimerIDs   bool    `json:"timer_ids,omitempty"`   // PR_TIMER_CREATE_RESTORE_IDS

	// The kernel keeps these settings per thread, and new threads inherit them. The image has those of the initiator.
	MachineCheck int  `json:"machine_check,omitempty"` // PR_MCE_KILL: 0 system default, 1 early, 2 late
	NoTimestamp  bool `json:"no_timestamp,omitempty"`  // PR_SET_TSC: to read the counter raises SIGSEGV
}
