package coord

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// A membership says which processes belong to a group.
//
// These are the root and its descendants, and all processes that have one of the group's IDs, with their descendants. The IDs are
// the name of the root's group, and for each member that crak run has started, the ID of that run. A process that
// has an ID and descends from no member is found in /proc. It is a member only if its resident confirms the ID, because a program
// can overwrite its environment.
//
// The user may leave out processes with their descendants. Options.Only leaves out all but the root.
type membership struct {
	ids     map[string]bool
	byID    map[int]bool    // PIDs that were found by an ID
	seen    map[int]bool    // PIDs that have none of the IDs; nil: before the first look
	newest  int             // the newest PID before the last look
	open    []int           // PIDs that the next look must look at again
	over    map[int]bool    // PIDs that were zombies at the last look
	unsure  bool            // the last look may have missed a process
	left    map[int]string  // PIDs of processes that are left out, and their names
	skipped map[string]bool // values of Options.Skip that some process has
	user    uint32          // of the root
}

// follow adds the IDs of a new member to those of the group.
func (c *checkpoint) follow(m *member) {
	if c.Only {
		return
	}
	id, _, _ := groupOf(m.pid)
	if id == "" && m.pid == c.Pid {
		id = validGroup(c.Settings[groupVariable]) // of a process that is not dumpable
	}
	status, err := proc.Read(m.pid, "status", proc.Status)
	if id == "" || err != nil {
		return
	}
	if m.pid == c.Pid {
		c.user = status.Uid[1]
	}
	if isRun(id) && runOf(id) == insidePid(status) || !isRun(id) && m.pid == c.Pid {
		if c.ids == nil {
			c.ids, c.byID = make(map[string]bool), make(map[int]bool)
		}
		c.ids[id] = true
		c.forget()
	}
}

// forget makes the next findByID look at all processes again.
func (c *checkpoint) forget() { c.seen, c.newest, c.open, c.over, c.unsure = nil, 0, nil, nil, false }

// findByID looks for processes that have one of the group's IDs. It looks at each process once: the group is frozen while the last
// looks are made, and only a new process can be missing then. known are the members.
//
// A look can miss a process in two cases. fork(2) has given out the PID, but the process is not in /proc yet. Or the look did not
// see the PID, because the parent forked the process and ended during the look. In both cases a process of the group was alive
// during the look and was not frozen. /proc lists processes by their PIDs, and a new process has a higher PID than its parent. So
// the look saw one of these processes: alive, as a zombie, or by a PID that exists no more. It then sets c.unsure, and the next look
// lists /proc. A look also sets c.unsure if PIDs have begun again at the lowest. So a look has missed no process if it finds none and
// does not set c.unsure.
func (c *checkpoint) findByID(known map[int]bool) (pids []int) {
	last, open, list := c.newest, c.open, c.unsure
	c.unsure = false
	if len(c.ids) == 0 {
		return nil
	}
	c.newest, c.open = newestPid(), nil
	if c.seen == nil || c.newest < last { // another process may have the PID of one that was seen
		c.seen, c.over = make(map[int]bool), nil
	}
	if list {
		last = 0
	}
	for _, pid := range append(open, pidsSince(last, c.newest)...) {
		if known[pid] || c.seen[pid] || slices.Contains(c.open, pid) {
			continue
		}
		r, early := relativeAt(pid, &c.user)
		switch {
		case early:
			c.open = append(c.open, pid)
			c.unsure = c.unsure || !slices.Contains(open, pid) // a process without any environment looks the same
		case r == nil && c.hasLeft(pid):
		case r == nil || !c.ids[r.id] || isRun(r.id) && nameOf(pid, "ns/pid") != nameOf(c.Pid, "ns/pid"):
			c.seen[pid] = true
		default:
			c.byID[pid] = true
			c.open = append(c.open, pid)
			pids = append(pids, pid)
		}
	}
	c.unsure = c.unsure || newestPid() < c.newest
	return pids
}

// hasLeft tells whether a process has ended.
func (c *checkpoint) hasLeft(pid int) bool {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	return c.isOver(pid, &stat, err)
}

// isOver tells whether a process has ended. It sets c.unsure if the process may have ended since the last look. stat, err: what
// /proc says of it.
func (c *checkpoint) isOver(pid int, stat *proc.StatInfo, err error) bool {
	switch {
	case err != nil:
		c.unsure = true
	case !stat.HasEnded():
		return false
	case !c.over[pid]:
		c.unsure = true
		if c.over == nil {
			c.over = make(map[int]bool)
		}
		c.over[pid] = true
	}
	return true
}

// newestPid is the last PID or TID that the kernel has given out in this PID namespace. It is 0 if the kernel does not tell
// (CONFIG_CHECKPOINT_RESTORE). A process that has chosen its PID, as crak restart does, does not change it.
func newestPid() int {
	text, _ := proc.ReadFile("/proc/sys/kernel/ns_last_pid")
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// pidsSince returns all PIDs that the kernel can have given out while the newest PID went from one value to another. Listing
// /proc takes a millisecond for some hundreds of processes, which is too long for each look during a freeze.
func pidsSince(before, now int) (pids []int) {
	const few = 256
	if before == 0 || now < before || now-before > few {
		pids, _ = proc.Pids()
		return pids
	}
	for pid := before + 1; pid <= now; pid++ {
		pids = append(pids, pid)
	}
	return pids
}

// confirms asks the resident of a process that was found by an ID whether the process was started with this ID.
func (c *checkpoint) confirms(m *member) (bool, error) {
	if !c.byID[m.pid] {
		return true, nil
	}
	if err := m.query(); err != nil {
		if isAnotherError(err) {
			return false, nil // it is found again
		}
		return false, err
	}
	if c.ids[validGroup(m.settings[groupVariable])] {
		return true, nil
	}
	c.dropping.Lock()
	defer c.dropping.Unlock()
	c.seen[m.pid] = true
	return false, nil
}

// without returns the PIDs of found, except for the processes that the user leaves out and their descendants.
func (c *checkpoint) without(found []proc.StatInfo) (pids []int) {
	c.left = make(map[int]string)
	for i := range found {
		if c.unwanted(&found[i]) {
			leaveOut(c.left, &found[i])
		}
	}
	for _, stat := range found {
		if _, left := c.left[stat.Pid]; !left {
			pids = append(pids, stat.Pid)
		}
	}
	return pids
}

func (c *checkpoint) unwanted(stat *proc.StatInfo) bool {
	if c.Only {
		return true
	}
	unwanted := false
	for _, skip := range c.Skip {
		if skip == strconv.Itoa(stat.Pid) || skip == stat.Comm {
			c.skipped[skip], unwanted = true, true
		}
	}
	return unwanted
}

// leaveOut adds a process and its descendants to those that are left out.
func leaveOut(left map[int]string, stat *proc.StatInfo) {
	if _, known := left[stat.Pid]; known {
		return
	}
	left[stat.Pid] = stat.Comm
	for _, pid := range childrenOf(stat.Pid) {
		if child, err := proc.Read(pid, "stat", proc.Stat); err == nil && !isCrak(&child) && !child.HasEnded() {
			leaveOut(left, &child)
		}
	}
}

// checkSkip refuses to leave out the root.
func (c *checkpoint) checkSkip() error {
	c.skipped = make(map[string]bool)
	stat, err := proc.Read(c.Pid, "stat", proc.Stat)
	if err == nil && !c.Only && c.unwanted(&stat) {
		return obstacle.Obstacle{Pid: c.Pid, What: "root of the group", Why: "--skip leaves out other processes than the root", Do: "name another process"}
	}
	return nil
}

// notices says which processes are left out.
func (c *checkpoint) notices() (all []string) {
	for _, pid := range slices.Sorted(maps.Keys(c.left)) {
		all = append(all, fmt.Sprintf("left out: pid %d (%q)", pid, c.left[pid]))
	}
	for _, skip := range c.Skip {
		if !c.skipped[skip] {
			all = append(all, fmt.Sprintf("--skip %s: the group has no such process", skip))
		}
	}
	return all
}
