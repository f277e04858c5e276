package dump

import (
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// lost is an attribute of a thread that a restart cannot restore.
type lost struct {
	what string
	do   string
}

// lostOf lists these attributes of a thread, from its status and by system calls.
func lostOf(s *proc.StatusInfo) (all []lost) {
	if s.Seccomp != 0 {
		all = append(all, lost{"seccomp filter", "start the program without its sandbox"})
	}
	if strings.Contains(s.ThreadFeatures, "shstk") {
		all = append(all, lost{"shadow stack", "start it with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off"})
	}
	if s.UntagMask != 0 && s.UntagMask != ^uint64(0) {
		all = append(all, lost{"linear address masking (arch_prctl(2), ARCH_ENABLE_TAGGED_ADDR)", ""})
	}
	if hasCookie(s.Pid) {
		all = append(all, lost{"core scheduling (PR_SCHED_CORE)", "start it without coresched(1), so that it has no cookie of its own"})
	}
	return all
}

// hasCookie reports whether core scheduling restricts which threads may share a core with this one. A kernel without core
// scheduling returns EINVAL.
func hasCookie(tid int) bool {
	const ofThread = 0 // PIDTYPE_PID
	var cookie uint64
	_, _, errno := unix.Syscall6(unix.SYS_PRCTL, unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_GET, uintptr(tid), ofThread,
		uintptr(unsafe.Pointer(&cookie)), 0)
	return errno == 0 && cookie != 0
}

// refuseThread adds an obstacle for each attribute that the thread would lose.
func (m *Member) refuseThread(tid int, all []lost) {
	for _, l := range all {
		m.refuse(fmt.Sprintf("thread %d", tid), l.what, "not supported", l.do)
	}
}

// flusher is the flags that PR_SET_IO_FLUSHER sets: PF_LOCAL_THROTTLE and PF_MEMALLOC_NOIO in include/linux/sched.h.
const flusher = 1<<20 | 1<<19

// refuseFlags adds an obstacle for an attribute that shows only in the flags of the process.
func (m *Member) refuseFlags(stat *proc.StatInfo) {
	if stat.Flags&flusher == flusher {
		m.refuse("", "I/O for the kernel (PR_SET_IO_FLUSHER)", "not supported", "")
	}
}

// speculation translates the lines of status about speculation control (fs/proc/array.c). Values that the thread did not
// choose itself become 0.
func speculation(s *proc.StatusInfo) image.Speculation {
	choices := map[string]uint32{
		"thread mitigated":           unix.PR_SPEC_DISABLE,
		"thread force mitigated":     unix.PR_SPEC_FORCE_DISABLE,
		"conditional disabled":       unix.PR_SPEC_DISABLE,
		"conditional force disabled": unix.PR_SPEC_FORCE_DISABLE,
	}
	return image.Speculation{StoreBypass: choices[s.StoreBypass], IndirectBranch: choices[s.IndirectBranch]}
}
