package compile

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// scheduling is struct sched_attr, version 0 (sched_setattr(2)).
type scheduling struct {
	Size, Policy              uint32
	Flags                     uint64
	Nice                      int32
	Priority                  uint32
	Runtime, Deadline, Period uint64
}

// clamping is struct sched_attr, version 1 (Linux 5.3).
type clamping struct {
	scheduling
	UtilMin, UtilMax uint32
}

const (
	schedulingSize = 48
	clampingSize   = 56
	utilMost       = 1024 // SCHED_CAPACITY_SCALE
)

// schedule sets a thread's scheduling policy, and its utilization clamps if they are not the default.
func (c *compiler) schedule(b *program.Builder, s image.Schedule) {
	self := program.Const(0)
	b.Call(unix.SYS_SCHED_SETATTR, self, c.set.Struct(scheduling{schedulingSize, s.Policy, s.Flags, s.Nice, s.Priority,
		s.Runtime, s.Deadline, s.Period}), program.Const(0)).MayFail()
	if s.Policy != unix.SCHED_NORMAL && s.Policy != unix.SCHED_BATCH {
		b.Call(unix.SYS_SETPRIORITY, program.Const(unix.PRIO_PROCESS), self, program.Const(s.Nice)).MayFail()
	}
	if s.UtilMax == 0 || s.UtilMax == utilMost && s.UtilMin == defaultUtilMin(s.Policy) {
		return
	}
	clamps := clamping{scheduling{Size: clampingSize, Flags: unix.SCHED_FLAG_KEEP_ALL | unix.SCHED_FLAG_UTIL_CLAMP}, s.UtilMin, s.UtilMax}
	b.Call(unix.SYS_SCHED_SETATTR, self, c.set.Struct(clamps), program.Const(0)).MayFail().Note("utilization clamps")
}

// defaultUtilMin is the lower clamp of a thread that has set none. For real-time policies it is the default of
// sched_util_clamp_min_rt_default.
func defaultUtilMin(policy uint32) uint32 {
	if policy == unix.SCHED_FIFO || policy == unix.SCHED_RR {
		return utilMost
	}
	return 0
}

// speculation restores the thread's limits of speculative execution. The calls fail on processors that need no such limits.
func (c *compiler) speculation(b *program.Builder, s image.Speculation) {
	forbid := func(what int, choice uint32) {
		if choice != 0 {
			prctl(b, program.Const(unix.PR_SET_SPECULATION_CTRL), program.Const(what), program.Const(choice),
				program.Const(0), program.Const(0)).MayFail().Note("speculation")
		}
	}
	forbid(unix.PR_SPEC_STORE_BYPASS, s.StoreBypass)
	forbid(unix.PR_SPEC_INDIRECT_BRANCH, s.IndirectBranch)
}
