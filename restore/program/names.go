package program

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// A shower writes a constant argument.
type shower func(v uint64) string

// forms say how the arguments of system calls are printed.
var forms = map[int][]shower{
	unix.SYS_MMAP:        {hex, hex, protection, mapFlags, signed, hex},
	unix.SYS_MREMAP:      {hex, hex, hex, oneOf(map[uint64]string{unix.MREMAP_MAYMOVE | unix.MREMAP_FIXED: "MAYMOVE|FIXED"}), hex},
	unix.SYS_MPROTECT:    {hex, hex, protection},
	unix.SYS_MUNMAP:      {hex, hex},
	unix.SYS_MADVISE:     {hex, hex, oneOf(advices)},
	unix.SYS_MLOCK:       {hex, hex},
	unix.SYS_DUP3:        {number, number, oneOf(map[uint64]string{0: "0", unix.O_CLOEXEC: "O_CLOEXEC"})},
	unix.SYS_FCNTL:       {number, oneOf(fcntls), number},
	unix.SYS_PRLIMIT64:   {number, oneOf(limits), number, number},
	unix.SYS_SETPGID:     {number, number},
	unix.SYS_SETRESUID:   {number, number, number},
	unix.SYS_SETRESGID:   {number, number, number},
	unix.SYS_SETFSUID:    {number},
	unix.SYS_SETFSGID:    {number},
	unix.SYS_SETPRIORITY: {number, number, signed},
	unix.SYS_MEMBARRIER:  {number, number},
	unix.SYS_EXIT:        {number},
	unix.SYS_EXIT_GROUP:  {number},

	unix.SYS_PERSONALITY:     {hex},
	unix.SYS_UMASK:           {octal},
	unix.SYS_SET_TID_ADDRESS: {hex},
	unix.SYS_CLOSE_RANGE:     {number, number},
	unix.SYS_RT_SIGACTION:    {number, hex, number, number},
	unix.SYS_RT_SIGQUEUEINFO: {number, number, hex},
	unix.SYS_RT_SIGTIMEDWAIT: {hex, number, hex, number},
	unix.SYS_TIMER_SETTIME:   {number, oneOf(map[uint64]string{0: "0", unix.TIMER_ABSTIME: "ABSTIME"}), hex, number},
	unix.SYS_SHMAT:           {number, hex, octal},
	unix.SYS_ARCH_PRCTL:      {oneOf(map[uint64]string{0x1001: "ARCH_SET_GS", 0x1002: "ARCH_SET_FS"}), hex},
}

func init() {
	forms[unix.SYS_PRCTL] = []shower{oneOf(prctls), number, number, number, number}
}

var (
	advices = map[uint64]string{
		unix.MADV_HUGEPAGE: "HUGEPAGE", unix.MADV_NOHUGEPAGE: "NOHUGEPAGE", unix.MADV_DONTFORK: "DONTFORK",
		unix.MADV_WIPEONFORK: "WIPEONFORK", unix.MADV_DONTDUMP: "DONTDUMP", unix.MADV_MERGEABLE: "MERGEABLE",
		unix.MADV_SEQUENTIAL: "SEQUENTIAL", unix.MADV_RANDOM: "RANDOM",
	}
	fcntls = map[uint64]string{
		unix.F_SETOWN_EX: "F_SETOWN_EX", unix.F_SETSIG: "F_SETSIG", unix.F_SETFL: "F_SETFL", unix.F_SETLK: "F_SETLK",
	}
	limits = map[uint64]string{
		unix.RLIMIT_CPU: "CPU", unix.RLIMIT_FSIZE: "FSIZE", unix.RLIMIT_DATA: "DATA", unix.RLIMIT_STACK: "STACK",
		unix.RLIMIT_CORE: "CORE", unix.RLIMIT_RSS: "RSS", unix.RLIMIT_NPROC: "NPROC", unix.RLIMIT_NOFILE: "NOFILE",
		unix.RLIMIT_MEMLOCK: "MEMLOCK", unix.RLIMIT_AS: "AS", unix.RLIMIT_LOCKS: "LOCKS", unix.RLIMIT_SIGPENDING: "SIGPENDING",
		unix.RLIMIT_MSGQUEUE: "MSGQUEUE", unix.RLIMIT_NICE: "NICE", unix.RLIMIT_RTPRIO: "RTPRIO", unix.RLIMIT_RTTIME: "RTTIME",
	}
	prctls = map[uint64]string{
		unix.PR_SET_MM: "SET_MM", unix.PR_SET_NAME: "SET_NAME", unix.PR_SET_TIMERSLACK: "SET_TIMERSLACK",
		unix.PR_SET_VMA: "SET_VMA", unix.PR_SET_CHILD_SUBREAPER: "SET_CHILD_SUBREAPER", unix.PR_SET_THP_DISABLE: "SET_THP_DISABLE",
		unix.PR_SET_MDWE: "SET_MDWE", unix.PR_TIMER_CREATE_RESTORE_IDS: "TIMER_CREATE_RESTORE_IDS",
		unix.PR_CAPBSET_DROP: "CAPBSET_DROP", unix.PR_SET_SECUREBITS: "SET_SECUREBITS", unix.PR_SET_KEEPCAPS: "SET_KEEPCAPS",
		unix.PR_CAP_AMBIENT: "CAP_AMBIENT", unix.PR_SET_NO_NEW_PRIVS: "SET_NO_NEW_PRIVS", unix.PR_SET_PDEATHSIG: "SET_PDEATHSIG",
	}
)

func oneOf(names map[uint64]string) shower {
	return func(v uint64) string {
		if name, ok := names[v]; ok {
			return name
		}
		return number(v)
	}
}

func signalName(v uint64) string {
	if name := unix.SignalName(unix.Signal(v)); name != "" {
		return name
	}
	return number(v)
}

func octal(v uint64) string  { return fmt.Sprintf("%#o", v) }
func hex(v uint64) string    { return fmt.Sprintf("%#x", v) }
func signed(v uint64) string { return fmt.Sprint(int64(v)) }

func protection(v uint64) string {
	b := []byte("---")
	for i := range b {
		if v&(1<<i) != 0 {
			b[i] = "rwx"[i]
		}
	}
	return string(b)
}

type bit struct {
	value uint64
	name  string
}

// bits prints the bits that have a name, and the rest as a number.
func bits(v uint64, names []bit) string {
	var all []string
	for _, n := range names {
		if v&n.value != 0 {
			all = append(all, n.name)
			v &^= n.value
		}
	}
	if v != 0 || len(all) == 0 {
		all = append(all, number(v))
	}
	return strings.Join(all, "|")
}

func mapFlags(v uint64) string {
	return bits(v, []bit{{unix.MAP_SHARED, "SHARED"}, {unix.MAP_PRIVATE, "PRIVATE"}, {unix.MAP_ANONYMOUS, "ANONYMOUS"},
		{unix.MAP_FIXED, "FIXED"}, {unix.MAP_FIXED_NOREPLACE, "FIXED_NOREPLACE"}, {unix.MAP_GROWSDOWN, "GROWSDOWN"}, {unix.MAP_STACK, "STACK"},
		{unix.MAP_NORESERVE, "NORESERVE"}, {unix.MAP_HUGETLB, "HUGETLB"}})
}

func cloneFlags(v uint64) string {
	return bits(v, []bit{{unix.CLONE_VM, "VM"}, {unix.CLONE_FS, "FS"}, {unix.CLONE_FILES, "FILES"}, {unix.CLONE_SIGHAND, "SIGHAND"},
		{unix.CLONE_THREAD, "THREAD"}, {unix.CLONE_SYSVSEM, "SYSVSEM"}, {unix.CLONE_SETTLS, "SETTLS"},
		{unix.CLONE_CHILD_CLEARTID, "CHILD_CLEARTID"}, {unix.CLONE_PARENT, "PARENT"}})
}
