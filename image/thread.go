package image

import (
	"crak.dev/crak/internal/abi"
)

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
