package lab

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// subjectVariable tells the processes of the programs of a script apart. With the script's token it finds a process whose
// parent has ended.
const subjectVariable = "CRAK_LAB_SUBJECT="

// members lists the PIDs of the program's group: its root, the descendants of that, and the processes that carry the subject's
// name in their environment with their descendants. Zombies are among them if their parent is.
func (p *subject) members() ([]int, error) {
	parents, err := parents()
	if err != nil {
		return nil, err
	}
	known := map[int]bool{}
	for pid := range parents {
		known[pid] = p.pidfd >= 0 && pid == p.pid || p.marked(pid)
	}
	runner := 0 // crak restart or unshare(1)
	if p.runner != nil && p.runner.Process.Pid != p.pid {
		runner = p.runner.Process.Pid
		known[runner] = false
	}
	var all []int
	for pid := range parents {
		if pid != runner && below(pid, parents, known) {
			all = append(all, pid)
		}
	}
	// Parents come first: a shell that is killed after its child may yet say that the child was killed.
	slices.SortFunc(all, func(a, b int) int { return cmp.Or(depth(a, parents)-depth(b, parents), a-b) })
	return all, nil
}

// depth is the number of ancestors of a process.
func depth(pid int, parents map[int]int) int {
	n := 0
	for parent, ok := parents[pid]; ok && n < len(parents); parent, ok = parents[parent] {
		n++
	}
	return n
}

// marked reports whether a process has the subject's name in its environment. If the environment cannot be read, the process does not
// belong to the subject.
func (p *subject) marked(pid int) bool {
	environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return hasEntry(environ, p.session.token) && hasEntry(environ, subjectVariable+p.name)
}

// below reports whether a process, or one of its ancestors, is known.
func below(pid int, parents map[int]int, known map[int]bool) bool {
	for range len(parents) {
		if known[pid] {
			return true
		}
		parent, ok := parents[pid]
		if !ok {
			return false
		}
		pid = parent
	}
	return false
}

// parents maps each process to its parent.
func parents() (map[int]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	all := map[int]int{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		if fields, err := stat(dir); err == nil { // otherwise the process has ended
			all[pid], _ = strconv.Atoi(fmt.Sprint(fields["ppid"]))
		}
	}
	return all, nil
}

// kill kills every member with SIGKILL, also those that members fork meanwhile. It waits until their PIDs are free, because the
// restart needs them.
func (p *subject) kill() error {
	deadline := time.Now().Add(p.session.lab.params.Bound)
	seen := map[int]bool{}
	for {
		members, err := p.members()
		if err != nil {
			return err
		}
		alive := 0
		for _, pid := range members {
			seen[pid] = true
			if zombie(pid) {
				continue
			}
			alive++
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("%s: kill pid %d: %w", p.name, pid, err)
			}
		}
		if alive == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %d processes are left after kill: %s", p.name, alive, describe(members))
		}
		for _, pid := range members {
			if err := awaitEnd(pid, time.Until(deadline)); err != nil {
				return fmt.Errorf("%s: killed, but pid %d: %w", p.name, pid, err)
			}
		}
	}
	return p.reaped(seen, deadline)
}

// reaped waits until the processes of these PIDs, which have ended, are reaped, except the root: the subject's runner reaps the root. Then
// another process of the machine can have such a PID.
func (p *subject) reaped(pids map[int]bool, deadline time.Time) error {
	for pid := range pids {
		for pid != p.pid && unreaped(pid) {
			if time.Now().After(deadline) {
				return fmt.Errorf("%s: pid %d has ended, and nobody reaps it", p.name, pid)
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// vanished returns an error if a member still lives after a checkpoint with --kill.
func (p *subject) vanished() error {
	members, err := p.members()
	if err != nil {
		return err
	}
	seen := map[int]bool{}
	for _, pid := range members {
		if seen[pid] = true; !zombie(pid) {
			return fmt.Errorf("%s: left alive after --kill: %s", p.name, describe([]int{pid}))
		}
	}
	return p.reaped(seen, time.Now().Add(p.session.lab.params.Bound))
}

// awaitEnd waits until a process has ended. It returns at once if there is no such process.
func awaitEnd(pid int, bound time.Duration) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return awaitExit(fd, bound)
}

// unreaped reports whether a process has ended, and nobody has reaped it.
func unreaped(pid int) bool {
	fields, err := stat(fmt.Sprintf("/proc/%d", pid))
	return err == nil && life(fields) == zombieLife
}

// zombie reports whether a process has ended, whether it was reaped or not.
func zombie(pid int) bool {
	fields, err := stat(fmt.Sprintf("/proc/%d", pid))
	return err != nil || life(fields) == zombieLife
}
