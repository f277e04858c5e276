package coord

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/sysname"
	"crak.dev/crak/internal/tracer"
)

// explain adds a reason to the error of a freeze: what the thread that did not park is doing, or why it could not be signalled.
func explain(err error) error {
	var e *resident.FreezeError
	isFreeze := errors.As(err, &e)
	if errors.Is(err, unix.EAGAIN) || isFreeze && e.Code == abi.FailedSignal && unix.Errno(e.Detail) == unix.EAGAIN {
		return obstacle.Obstacle{What: err.Error(), Why: "the queue of signals is full",
			Do: "try again when the program has taken some of them, or raise the limit with prlimit --sigpending, or ulimit -i"}
	}
	if isFreeze && e.Code == abi.FailedMemory {
		return obstacle.Obstacle{What: err.Error(), Why: "each takes 4 KiB of memory and of address space",
			Do: fmt.Sprintf("raise the limit with prlimit --pid %d --as, or ulimit -v", e.Pid)}
	}
	if isFreeze && e.Code == abi.FailedTasks && unix.Errno(e.Detail) == unix.ENOENT {
		return obstacle.Obstacle{Pid: e.Pid, Where: "root directory", What: "it contains no /proc", Why: "chroot(2) is not supported",
			Do: "start the program without chroot, or leave it out"}
	}
	if !isFreeze || e.Code != abi.FailedPark {
		return err
	}
	if blocks(e.Pid, int(e.Tid)) {
		return obstacle.List{blocksSignal(e.Pid, int(e.Tid))}
	}
	return obstacle.List{{
		Pid:   e.Pid,
		Where: fmt.Sprintf("thread %d", e.Tid),
		What:  doing(e.Pid, int(e.Tid)),
		Why:   fmt.Sprintf("it takes no signal, and did not stop within %.0f s", float64(e.Detail)/1000),
		Do:    whenOver(e.Pid, int(e.Tid)),

		Passes: isAsleep(e.Pid, int(e.Tid)),
	}}
}

// explained adds the reason, and what to do, to an error about a file of /proc that the writer may not read.
func (c *checkpoint) explained(err error) error {
	var path *fs.PathError
	pid := c.Pid
	if errors.As(err, &path) {
		var member int
		if n, _ := fmt.Sscanf(path.Path, "/proc/%d/", &member); n == 1 {
			pid = member
		}
	}
	return explainPermission(pid, c.Rights, err)
}

// explainPermission adds the reason, and what to do, to an error about a file of /proc that the writer may not read.
func explainPermission(pid int, ours *Rights, err error) error {
	var path *fs.PathError
	if !errors.Is(err, fs.ErrPermission) || !errors.As(err, &path) || !strings.HasPrefix(path.Path, "/proc/") {
		return err
	}
	if isHidden(pid) {
		return obstacle.Obstacle{What: err.Error(),
			Why: "the program is not dumpable (prctl(2), PR_SET_DUMPABLE): its own user may not read its files in /proc",
			Do: fmt.Sprintf("%s; or, if the program has not changed its user or group since it started, let it start the checkpoint: kill -USR2 %d",
				withRights(pid, ours), pid)}
	}
	o := obstacle.Obstacle{What: err.Error(), Why: "the program has privileges that this checkpoint does not have", Do: withRights(pid, ours)}
	r, rightsErr := rightsOf(pid)
	if filepath.Base(path.Path) == "mem" && yamaScope() >= yamaAdmin {
		o.Why = "Yama forbids to read the memory of other processes (kernel.yama.ptrace_scope)"
		o.Do = "set kernel.yama.ptrace_scope to 0 or 1; after a 3, only a reboot changes it"
	} else if rightsErr == nil && r.isMixed() {
		o.Why = "its user IDs or group IDs differ from one another: only a process with CAP_SYS_PTRACE may read it (ptrace(2))"
		o.Do = "checkpoint it when they are the same, or start the program with that capability"
	} else if r.foreign || ours != nil && ours.foreign {
		o.Why = "it is in another user namespace"
		o.Do = fmt.Sprintf("run crak in that namespace: nsenter --user --target %d crak …", pid)
	}
	return o
}

// withRights says how to start crak so that it may read a process's files in /proc. ours is nil if crak was started by an ordinary
// user. Otherwise crak was root, or had capabilities, and "as root" is no help.
func withRights(pid int, ours *Rights) string {
	if ours == nil && os.Geteuid() != 0 {
		return fmt.Sprintf("as root: crak checkpoint %d", pid)
	}
	return "start crak with every capability that the program has, CAP_SYS_PTRACE among them (in a container: --cap-add SYS_PTRACE)"
}

// yamaAdmin is the least kernel.yama.ptrace_scope with which a process needs CAP_SYS_PTRACE to read the memory of its own user's
// processes (Documentation/admin-guide/LSM/Yama.rst).
const yamaAdmin = 2

// yamaScope is kernel.yama.ptrace_scope, or 0 without Yama.
func yamaScope() int {
	text, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if err != nil {
		return 0
	}
	scope, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return scope
}

// isHidden tells whether a process is not dumpable. Its files in /proc then belong to root, not to its user (proc(5)).
func isHidden(pid int) bool {
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil {
		return false
	}
	var st unix.Stat_t
	err = unix.Stat(proc.Path(pid, "mem"), &st)
	return err == nil && st.Uid != status.Uid[1] && status.Uid[1] == status.Uid[0]
}

// noAnswer tells why a program did not answer an order. holds is the depth of crak_hold at the last query.
func noAnswer(pid, tid, holds int, timeout time.Duration) error {
	if status, err := proc.Read(pid, "status", proc.Status); err == nil && status.State == 'T' {
		return obstacle.List{stopped(pid, tracer.ErrHandling)}
	}
	if blocks(pid, tid) {
		return obstacle.List{blocksSignal(pid, tid)}
	}
	o := obstacle.Obstacle{
		Pid:   pid,
		Where: fmt.Sprintf("thread %d", tid),
		What:  doing(pid, tid),
		Why:   fmt.Sprintf("it does not answer within %.0f s", timeout.Seconds()),
		Do:    "try again when the call is over",
	}
	if holds > 0 {
		o.What = "between crak_hold and crak_release"
		o.Why = fmt.Sprintf("it did not leave this section within %.0f s", timeout.Seconds())
		o.Do = "try again later, or let the program call crak_release more often"
	}
	return obstacle.List{o}
}

// stopped is the obstacle for a process that is stopped and cannot be traced.
func stopped(pid int, why error) obstacle.Obstacle {
	return obstacle.Obstacle{Pid: pid, What: "stopped", Why: fmt.Sprintf("a stopped program does not handle the freeze signal, and crak may not trace it: %v", why),
		Do: "continue it with kill -CONT", Passes: errors.Is(why, tracer.ErrHandling)}
}

// blocks tells whether a thread blocks the freeze signal. The C library removes this signal from every mask that a program sets.
func blocks(pid, tid int) bool {
	status, err := proc.Read(pid, fmt.Sprintf("task/%d/status", tid), proc.Status)
	return err == nil && status.SigBlk&(1<<(abi.FreezeSignal-1)) != 0
}

// blocksSignal is the obstacle for a thread that blocks the freeze signal. While a handler of libcrak.so runs, also one that calls a
// callback of the program, the thread blocks every signal. /proc does not tell this from a mask that the program has set.
func blocksSignal(pid, tid int) obstacle.Obstacle {
	return obstacle.Obstacle{
		Pid:   pid,
		Where: fmt.Sprintf("thread %d", tid),
		What:  fmt.Sprintf("signal %d is blocked", abi.FreezeSignal),
		Why: "crak freezes a program with this signal. Either the thread is still in a handler of libcrak.so, or in a callback of crak_on; or the " +
			"program has blocked the signal without the C library, which never blocks it",
		Do: "leave signals 32 and 33 out of the masks that the program gives to rt_sigprocmask(2) or writes into a handler's ucontext; " +
			"if it does neither, try again later",
	}
}

// doing tells what a thread does, as far as /proc shows it.
func doing(pid, tid int) string {
	name := fmt.Sprintf("task/%d/", tid)
	what := "thread that does not stop"
	if s, err := proc.Read(pid, name+"stat", proc.Stat); err == nil {
		what = fmt.Sprintf("thread %q in state %c", s.Comm, s.State)
	}
	if s, err := proc.Read(pid, name+"syscall", proc.Syscall); err == nil && !s.Running && s.Number >= 0 {
		what += ", in system call " + sysname.Of(int64(s.Number))
	}
	if channel, err := os.ReadFile(proc.Path(pid, name+"wchan")); err == nil && len(channel) > 1 {
		what += ", waiting in the kernel's " + strings.TrimSpace(string(channel))
	}
	return what
}
