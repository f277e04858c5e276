package coord

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/sysname"
)

// explain adds to a freeze that failed what the thread that did not park is doing, or why no signal could be sent.
func explain(err error) error {
	var e *resident.FreezeError
	isFreeze := errors.As(err, &e)
	if errors.Is(err, unix.EAGAIN) || isFreeze && e.Code == abi.FailedSignal && unix.Errno(e.Detail) == unix.EAGAIN {
		return obstacle.Obstacle{What: err.Error(), Why: "the queue of signals is full",
			Do: "let it take some, or raise the limit with prlimit --sigpending, or ulimit -i"}
	}
	if !isFreeze || e.Code != abi.FailedPark {
		return err
	}
	if blocks(e.Pid, int(e.Tid)) {
		return obstacle.List{deaf(e.Pid, int(e.Tid))}
	}
	return obstacle.List{{
		Pid:   e.Pid,
		Where: fmt.Sprintf("thread %d", e.Tid),
		What:  doing(e.Pid, int(e.Tid)),
		Why:   fmt.Sprintf("it takes no signal, and did not stop within %.0f s", float64(e.Detail)/1000),
		Do:    "try again when the call is over",
	}}
}

// explainPermission adds to a file of /proc that may not be read why, and what to do.
func explainPermission(pid int, ours *Rights, err error) error {
	var path *fs.PathError
	if !errors.Is(err, fs.ErrPermission) || !errors.As(err, &path) || !strings.HasPrefix(path.Path, "/proc/") {
		return err
	}
	if isHidden(pid) {
		return obstacle.Obstacle{What: err.Error(),
			Why: "the program is not dumpable (prctl(2), PR_SET_DUMPABLE): its own user may not look into it",
			Do:  fmt.Sprintf("have it start the checkpoint itself: kill -USR2 %d; or as root: crak checkpoint %d", pid, pid)}
	}
	o := obstacle.Obstacle{What: err.Error(), Why: "the program has privileges that this checkpoint does not have",
		Do: fmt.Sprintf("as root: crak checkpoint %d", pid)}
	r, rightsErr := rightsOf(pid)
	if rightsErr == nil && r.isMixed() {
		o.Why = "its user IDs or group IDs differ, and with those nobody may read a process (ptrace(2)) but one with CAP_SYS_PTRACE"
		o.Do = "checkpoint it when they are the same, or start it with that capability"
	} else if r.foreign || ours != nil && ours.foreign {
		o.Why = "it is in another user namespace"
		o.Do = fmt.Sprintf("checkpoint it from there: nsenter --user --target %d crak …", pid)
	}
	return o
}

// isHidden: the files of a process in /proc belong to its user, or to root if it is not dumpable.
func isHidden(pid int) bool {
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil {
		return false
	}
	var st unix.Stat_t
	err = unix.Stat(proc.Path(pid, "mem"), &st)
	return err == nil && st.Uid != status.Uid[1] && status.Uid[1] == status.Uid[0]
}

// silent is why a program did not take up an order. holds is how deep it was in crak_hold when last asked.
func silent(pid, tid, holds int, patience time.Duration) error {
	if status, err := proc.Read(pid, "status", proc.Status); err == nil && status.State == 'T' {
		return obstacle.List{stopped(pid)}
	}
	if blocks(pid, tid) {
		return obstacle.List{deaf(pid, tid)}
	}
	o := obstacle.Obstacle{
		Pid:   pid,
		Where: fmt.Sprintf("thread %d", tid),
		What:  doing(pid, tid),
		Why:   fmt.Sprintf("it does not answer within %.0f s", patience.Seconds()),
		Do:    "try again when the call is over",
	}
	if holds > 0 {
		o.What = "between crak_hold and crak_release"
		o.Why = fmt.Sprintf("it did not leave this section within %.0f s", patience.Seconds())
		o.Do = "try again later, or have the program release more often"
	}
	return obstacle.List{o}
}

func stopped(pid int) obstacle.Obstacle {
	return obstacle.Obstacle{Pid: pid, What: "stopped", Why: "it cannot take part in its own checkpoint",
		Do: "let it go on with kill -CONT"}
}

// blocks tells whether a thread blocks the freeze signal, which the C library keeps out of every mask.
func blocks(pid, tid int) bool {
	status, err := proc.Read(pid, fmt.Sprintf("task/%d/status", tid), proc.Status)
	return err == nil && status.SigBlk&(1<<(abi.FreezeSignal-1)) != 0
}

func deaf(pid, tid int) obstacle.Obstacle {
	return obstacle.Obstacle{
		Pid:   pid,
		Where: fmt.Sprintf("thread %d", tid),
		What:  fmt.Sprintf("signal %d is blocked", abi.FreezeSignal),
		Why:   "by that signal a program is asked to stand still; the C library never blocks it, the program does so behind its back",
		Do:    "leave signals 32 and 33 out of masks that are set by rt_sigprocmask(2), or put into a handler's ucontext",
	}
}

// doing says what a thread does, as far as /proc tells.
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
