package coord

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// A relative is a process that belongs to a group by its ID, as /proc shows it.
type relative struct {
	pid, parent int
	uid         uint32
	start       uint64
	id          string
}

// relativeAt reads to which group a process belongs by its ID. It is nil if the process belongs to none, was not started with
// libcrak.so, was started as a set-user-ID program, has ended, or is a process of CRAK. early: the process executes a program just now, and
// the caller must look at it again.
//
// If user is not nil, it is nil, too, for a process of another user. relativeAt does not look into such a process: its user can make each read of
// its environment wait, by a file system that does not answer.
func relativeAt(pid int, user *uint32) (r *relative, early bool) {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil || pid == os.Getpid() || stat.HasEnded() || stat.ExitSignal == abi.ExitSignal || isKernelThread(&stat) {
		return nil, false
	}
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil || status.Tgid != pid || user != nil && status.Uid[1] != *user { // /proc has a directory for each thread, too
		return nil, false
	}
	id, preloads, empty := groupOf(pid)
	if empty {
		return nil, true
	}
	if id == "" || !preloads && !hasLibrary(pid) || isWriter(pid) || isSecure(pid) {
		return nil, false
	}
	return &relative{pid: pid, parent: stat.PPid, uid: status.Uid[1], start: stat.StartTime, id: id}, false
}

// isSecure tells whether a process executes a program that got rights from its file (set-user-ID, set-group-ID, capabilities). A user with
// fewer rights chose its environment, and could name a group of another user there. The loader does not load libcrak.so into such a
// program. The program may have made all its user IDs equal since then. (getauxval(3), AT_SECURE. A process that may not read this may not read
// the environment either.)
func isSecure(pid int) bool {
	const (
		atSecure = 23
		size     = 8 // of a word; an entry has two
	)
	auxv, _ := proc.ReadFile(proc.Path(pid, "auxv"))
	for ; len(auxv) >= 2*size; auxv = auxv[2*size:] {
		if binary.NativeEndian.Uint64(auxv) == atSecure {
			return binary.NativeEndian.Uint64(auxv[size:]) != 0
		}
	}
	return false
}

// isKernelThread tells whether a process is a thread of the kernel, which has no environment.
func isKernelThread(s *proc.StatInfo) bool {
	const pfKthread = 0x200000 // linux/sched.h
	return s.Flags&pfKthread != 0
}

// isWriter tells whether a process executes libcrak.so itself.
func isWriter(pid int) bool {
	exe, _ := os.Readlink(proc.Path(pid, "exe"))
	return strings.Contains(filepath.Base(exe), "libcrak")
}

// Root returns the process whose end, terminal and exit status a restart of its group follows. For a process of a named group it is
// the highest ancestor that belongs to the group and to the same user. For any other process it is the process itself.
func Root(pid int) int {
	own, _ := relativeAt(pid, nil)
	if own == nil || isRun(own.id) {
		return pid
	}
	for at := own; at != nil && at.id == own.id && at.uid == own.uid && nameOf(at.pid, "ns/pid") == nameOf(pid, "ns/pid"); {
		pid = at.pid
		at, _ = relativeAt(at.parent, &own.uid)
	}
	return pid
}

// FindGroup returns the root of a named group: the oldest of its processes that do not descend from another process of the group.
// If processes of several users claim the name, these are the caller's. If none is the caller's, the error says so.
func FindGroup(name string) (root int, err error) {
	own := uint32(os.Geteuid())
	all, err := named(name, &own)
	if err == nil && len(all) == 0 && own == 0 {
		all, err = named(name, nil)
	}
	if err != nil {
		return 0, err
	}
	users := make(map[uint32]bool)
	for _, r := range all {
		users[r.uid] = true
	}
	if len(users) > 1 {
		var names []string
		for uid := range users {
			names = append(names, strconv.Itoa(int(uid)))
		}
		slices.Sort(names)
		return 0, obstacle.Obstacle{What: fmt.Sprintf("group %s", name),
			Why: "processes of several users are in a group of this name: users " + strings.Join(names, ", "),
			Do:  "run crak as one of these users, or name a process: crak checkpoint PID takes the group of its user"}
	}
	var tops []*relative
	for _, r := range all {
		if all[r.parent] == nil {
			tops = append(tops, r)
		}
	}
	if len(tops) == 0 {
		return 0, fmt.Errorf("group %s: no process is in a group of this name", name)
	}
	return slices.MinFunc(tops, olderFirst).pid, nil
}

// named finds the processes in a named group: those of a user, or of all users if user is nil.
func named(name string, user *uint32) (map[int]*relative, error) {
	pids, err := proc.Pids()
	all := make(map[int]*relative)
	for _, pid := range pids {
		found := make(chan *relative, 1)
		go func() {
			r, _ := relativeAt(pid, user)
			found <- r
		}()
		select {
		case r := <-found:
			if r != nil && r.id == name {
				all[pid] = r
			}
		case <-time.After(timeoutAnswer):
			return nil, obstacle.Obstacle{Pid: pid, What: "process", Why: fmt.Sprintf("its environment cannot be read within %.0f s, so crak does not know its group", timeoutAnswer.Seconds()),
				Do: "name a process in place of the group: crak checkpoint PID"}
		}
	}
	return all, err
}

func olderFirst(a, b *relative) int {
	return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.pid, b.pid))
}
