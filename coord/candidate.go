package coord

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// looksForResident is the least number of looks at a process that had a handler for the freeze signal a moment before.
const looksForResident = 3

// candidate collects the obstacles that keep a process from being frozen at all. The order of its checks matters: handler.go
// explains which processes the freeze signal would kill.
func candidate(pid int) (obstacle.List, error) {
	status, err := proc.Read(pid, "status", proc.Status)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("pid %d: %w", pid, errNoProcess)
	}
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	if status.Tgid != pid {
		return nil, fmt.Errorf("pid %d: a thread of process %d", pid, status.Tgid)
	}
	if _, err := liveThread(pid); err != nil {
		return obstacle.List{{Pid: pid, What: "the program has ended", Why: "only its exit status is left, for its parent (wait(2))"}}, nil
	}
	p, err := awaitResident(pid, status.PPid)
	if err != nil {
		return nil, err
	}
	var list obstacle.List
	refuse := func(what, why, do string) {
		list = append(list, obstacle.Obstacle{Pid: pid, What: what, Why: why, Do: do})
	}
	if err := unix.Kill(pid, 0); errors.Is(err, unix.EPERM) {
		refuse(fmt.Sprintf("process of user %d", p.status.Uid[0]), "only that user and root may checkpoint it", "")
		return list, nil
	}
	switch {
	case p.status.TracerPid != 0:
		refuse(fmt.Sprintf("traced by pid %d", p.status.TracerPid), "a tracer controls when it stops and runs", "detach the debugger or strace first")
	case p.shares:
		refuse(fmt.Sprintf("shares the memory of its parent, pid %d", p.status.PPid), "a restart can restore the memory for one process only",
			"wait until it has executed a program or has ended")
	case !p.hasResident:
		refuse(whyNotResident(p.live))
	case hasFilter(pid, p.live): // the filter might kill it for a system call of the resident
		refuse("seccomp filter", "not supported", "start the program without its sandbox")
	case inOtherNetwork(p.live):
		refuse("in another network namespace", "abstract sockets belong to a network namespace, so it cannot connect to crak",
			fmt.Sprintf("run crak in that namespace: nsenter --net --target %d crak …", pid))
	case outOfDescriptors(p.live):
		refuse("out of descriptors", fmt.Sprintf("the checkpoint needs %d", descriptorsNeeded),
			"raise the limit with prlimit --nofile, or ulimit -n")
	}
	return list, nil
}

// A processNow is what a process was when awaitResident looked at it last.
type processNow struct {
	status      proc.StatusInfo
	live        int  // a live thread
	shares      bool // it shares its parent's memory
	hasResident bool
}

// awaitResident waits until a process has a resident that can take the freeze signal, or can have none. parent is its parent's PID.
//
// The process may execute another program between the wait and the look. In the middle of execve(2) it has the memory of the new
// program and still the handlers of the old one. On a busy machine it may stay there for many milliseconds.
func awaitResident(pid, parent int) (p processNow, err error) {
	begun, wait := time.Now(), firstLook
	for look := 0; look < looksForResident || awaitsLibrary(p.live) && time.Since(begun) < timeoutExec; look++ {
		if look > 0 {
			wait = min(2*wait, intervalExec)
			time.Sleep(wait) // no event tells of another process's execve
		}
		handler := awaitHandler(pid)
		if p.live, err = liveThread(pid); err == nil {
			p.shares = sharesMemory(pid, parent)
			p.status, err = proc.Read(pid, "status", proc.Status)
		}
		if err != nil {
			return p, fmt.Errorf("pid %d: %w", pid, err)
		}
		parent = p.status.PPid
		if p.hasResident = isExpected(p.status) && hasLibrary(p.live); p.hasResident || p.shares || !handler {
			break
		}
	}
	return p, nil
}

func hasFilter(pid, live int) bool {
	status, err := proc.Read(pid, fmt.Sprintf("task/%d/status", live), proc.Status)
	return err == nil && status.Seccomp != 0
}

// inOtherNetwork tells whether a process is in another network namespace. Abstract sockets belong to network namespaces.
func inOtherNetwork(pid int) bool {
	theirs, err := os.Readlink(proc.Path(pid, "ns/net"))
	if err != nil {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	return err == nil && ours != theirs
}

// liveThread is a thread that can take a signal. It is the thread group leader, unless that has exited before the other threads.
// Threads may begin and end at any time, and a new thread may have a lower TID than the others.
func liveThread(pid int) (int, error) {
	tasks, err := proc.Tasks(pid)
	if err != nil {
		return 0, fmt.Errorf("pid %d: %w", pid, err)
	}
	for _, tid := range append([]int{pid}, tasks...) {
		s, err := proc.Read(pid, fmt.Sprintf("task/%d/stat", tid), proc.Stat)
		if err == nil && s.IsLive() {
			return tid, nil
		}
	}
	return 0, fmt.Errorf("pid %d: %w", pid, resident.ErrEnded)
}

// descriptorsNeeded is how many descriptors the resident opens at a time: the socket, /proc/self/task, and one file of a thread.
const descriptorsNeeded = 3

func outOfDescriptors(pid int) bool {
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		return false
	}
	fds, err := proc.Fds(pid)
	if err != nil {
		return false
	}
	below, _ := slices.BinarySearch(fds, int(min(limit.Cur, math.MaxInt32)))
	return uint64(below)+descriptorsNeeded > limit.Cur
}

// whyNotResident tells why libcrak.so is not in a program, or cannot be reached, and what to do.
func whyNotResident(pid int) (what, why, do string) {
	const absent = "libcrak.so is not in it"
	if isOwn(pid) {
		return "crak itself", absent, "name the program that it has started: crak ps shows its PID"
	}
	if what, do = Preloadable(proc.Path(pid, "exe")); what != "" {
		return what, absent, do
	}
	const copied = "use a copy of the file without these rights"
	if isSecure(pid) {
		return "setuid or setgid program, or one with file capabilities", "the loader preloads no library into it", copied
	}
	if isHidden(pid) { // its user may not read whether it is such a program
		return "no resident", absent + ", and it is not dumpable: the loader preloads no library into a setuid or setgid program",
			copied + ", or start the program with crak run"
	}
	if found, _ := findLibrary(pid); found {
		return "no resident", "the process has libcrak.so, but not its signal handler", "let the program do without CLONE_CLEAR_SIGHAND (clone3(2))"
	}
	return "no resident", absent, "start the program with crak run, or with LD_PRELOAD=libcrak.so"
}
