package dump

import (
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// lost is what a thread has that would not come back. Each has a line in /proc or a system call that tells.
type lost struct {
	what string
	do   string
}

// lostOf finds it, given the thread's status.
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
		all = append(all, lost{"core scheduling (PR_SCHED_CORE)", "start it without a cookie of its own: not by coresched(1)"})
	}
	return all
}

// hasCookie tells whether a thread runs on a core together with chosen others only. A kernel without core scheduling says EINVAL.
func hasCookie(tid int) bool {
	const ofThread = 0 // PIDTYPE_PID
	var cookie uint64
	_, _, errno := unix.Syscall6(unix.SYS_PRCTL, unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_GET, uintptr(tid), ofThread,
		uintptr(unsafe.Pointer(&cookie)), 0)
	return errno == 0 && cookie != 0
}

// refuseThread refuses what a thread would lose.
func (m *Member) refuseThread(tid int, all []lost) {
	for _, l := range all {
		m.refuse(fmt.Sprintf("thread %d", tid), l.what, "not supported", l.do)
	}
}

// flusher is a thread that does I/O for others (PR_SET_IO_FLUSHER): PF_LOCAL_THROTTLE and PF_MEMALLOC_NOIO in include/linux/sched.h.
const flusher = 1<<20 | 1<<19

// refuseFlags refuses what the flags of the process tell.
func (m *Member) refuseFlags(stat *proc.StatInfo) {
	if stat.Flags&flusher == flusher {
		m.refuse("", "I/O for the kernel (PR_SET_IO_FLUSHER)", "not supported", "")
	}
}

// speculation translates the lines of status about it (fs/proc/array.c). Whatever is not the thread's own choice is nothing.
func speculation(s *proc.StatusInfo) image.Speculation {
	choices := map[string]uint32{
		"thread mitigated":           unix.PR_SPEC_DISABLE,
		"thread force mitigated":     unix.PR_SPEC_FORCE_DISABLE,
		"conditional disabled":       unix.PR_SPEC_DISABLE,
		"conditional force disabled": unix.PR_SPEC_FORCE_DISABLE,
	}
	return image.Speculation{StoreBypass: choices[s.StoreBypass], IndirectBranch: choices[s.IndirectBranch]}
}
