package coord

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// candidate finds what keeps a process from being frozen at all. It looks for what the freeze signal would kill in the
// order that order.go explains.
func candidate(pid int) (obstacle.List, error) {
	status, err := proc.Read(pid, "status", proc.Status)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("pid %d: no such process", pid)
	}
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	if status.Tgid != pid {
		return nil, fmt.Errorf("pid %d: a thread of process %d", pid, status.Tgid)
	}
	live, err := liveThread(pid)
	if err != nil {
		return obstacle.List{{Pid: pid, What: "the program has ended", Why: "what is left of it is its exit status, for its parent"}}, nil
	}
	awaitHandler(pid)
	shares := sharesMemory(pid, status.PPid)
	if status, err = proc.Read(pid, "status", proc.Status); err != nil {
		return nil, fmt.Errorf("pid %d: %w", pid, err)
	}
	var list obstacle.List
	refuse := func(what, why, do string) {
		list = append(list, obstacle.Obstacle{Pid: pid, What: what, Why: why, Do: do})
	}
	if err := unix.Kill(pid, 0); errors.Is(err, unix.EPERM) {
		refuse(fmt.Sprintf("process of user %d", status.Uid[0]), "it may be checkpointed by that user and by root", "")
		return list, nil
	}
	switch {
	case status.TracerPid != 0:
		refuse(fmt.Sprintf("traced by pid %d", status.TracerPid), "its stops are the tracer's", "detach the debugger or strace first")
	case status.State == 'T':
		list = append(list, stopped(pid))
	case shares:
		refuse(fmt.Sprintf("shares the memory of its parent, pid %d", status.PPid), "only one process can have it back",
			"checkpoint the parent, or wait until it has executed its program")
	case !isExpected(status) || !hasLibrary(live):
		what, do := whyNotResident(live)
		refuse(what, "libcrak.so is not in it", do)
	case hasFilter(pid, live): // what we ask of it might be the end of it
		refuse("seccomp filter", "not supported", "start the program without its sandbox")
	case outOfReach(live):
		refuse("in another network namespace", "the socket that it is to connect to is not in that",
			fmt.Sprintf("enter it first: nsenter --net --target %d crak …", pid))
	case outOfDescriptors(live):
		refuse("out of descriptors", fmt.Sprintf("the checkpoint needs %d", descriptorsNeeded),
			"raise the limit with prlimit --nofile, or ulimit -n")
	}
	return list, nil
}

func hasFilter(pid, live int) bool {
	status, err := proc.Read(pid, fmt.Sprintf("task/%d/status", live), proc.Status)
	return err == nil && status.Seccomp != 0
}

// outOfReach: abstract sockets belong to network namespaces.
func outOfReach(pid int) bool {
	theirs, err := os.Readlink(proc.Path(pid, "ns/net"))
	if err != nil {
		return false
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	return err == nil && ours != theirs
}

// liveThread is a thread that can take a signal: the thread group leader, unless it has exited before the others,
// which may come and go meanwhile, with lower numbers too.
func liveThread(pid int) (int, error) {
	tasks, err := proc.Tasks(pid)
	if err != nil {
		return 0, fmt.Errorf("pid %d: %w", pid, err)
	}
	for _, tid := range append([]int{pid}, tasks...) {
		s, err := proc.Read(pid, fmt.Sprintf("task/%d/stat", tid), proc.Stat)
		if err == nil && s.State != 'Z' && s.State != 'X' {
			return tid, nil
		}
	}
	return 0, fmt.Errorf("pid %d: no live thread", pid)
}

// descriptorsNeeded: the socket, the list of threads, and what is read of each.
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

// whyNotResident explains what kind of program it is that the library is not in, and what to do.
func whyNotResident(pid int) (what, do string) {
	if what, do = Preloadable(proc.Path(pid, "exe")); what == "" {
		what, do = "no resident", "start the program with crak run, or with LD_PRELOAD=libcrak.so"
	}
	return what, do
}
