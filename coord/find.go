package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/busypoll"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// Longest waits for a group whose processes fork all the time.
const (
	patienceFind  = time.Second      // to find them all while they run; the freeze finds those that are missed
	patienceStorm = 30 * time.Second // to freeze them all
)

// find makes the root and its descendants members. While they run, they may fork: the rest is found during the freeze.
func (c *checkpoint) find() error {
	list, err := candidate(c.Pid)
	if err != nil {
		return err
	}
	if c.Kill && c.Pid == 1 {
		list = append(list, obstacle.Obstacle{Pid: 1, What: "process 1 of this PID namespace",
			Why: "no process of this namespace can kill it (pid_namespaces(7))",
			Do:  "run crak checkpoint --kill outside of the namespace, or without --kill"})
	}
	if len(list) > 0 {
		return list
	}
	if c.group = c.Rights; c.group == nil {
		r, err := certainRightsOf(c.Pid)
		if err != nil {
			return fmt.Errorf("pid %d: %w", c.Pid, err)
		}
		c.group = &r
	}
	root, err := c.newMember(c.Pid)
	if err != nil {
		return fmt.Errorf("pid %d: %w", c.Pid, err)
	}
	c.members = []*member{root}
	if err := c.roomFor(1); err != nil {
		return err
	}
	c.follow(root)
	if err := c.checkSkip(); err != nil {
		return err
	}
	return c.findAll()
}

// findAll makes the other processes of the group members.
func (c *checkpoint) findAll() error {
	for deadline := time.Now().Add(patienceFind); ; {
		found, _ := c.look()
		fresh, err := c.admit(found)
		if err != nil {
			return err
		}
		if len(fresh) == 0 || time.Now().After(deadline) {
			break
		}
	}
	busypoll.Share(len(c.members))
	return nil
}

// look reads who the children of the members are, and who else has an ID of the group: processes that are not members yet, and
// zombies.
func (c *checkpoint) look() (pids []int, zombies []image.Zombie) {
	known := c.known()
	candidates := c.again
	c.again = nil
	for _, m := range c.members {
		candidates = append(candidates, childrenOf(m.pid)...)
	}
	candidates = append(candidates, c.findByID(known)...)
	var found []proc.StatInfo
	for _, pid := range candidates {
		if known[pid] || pid == os.Getpid() {
			continue
		}
		known[pid] = true
		stat, err := proc.Read(pid, "stat", proc.Stat)
		if err != nil || stat.State == 'X' || stat.ExitSignal == abi.FreezeSignal { // a reaper or a twin
			continue
		}
		if isDead(&stat) {
			if z, err := zombieOf(&stat); err == nil {
				zombies = append(zombies, z)
			}
			continue
		}
		found = append(found, stat)
	}
	slices.SortFunc(zombies, func(a, b image.Zombie) int { return cmp.Compare(a.Pid, b.Pid) })
	return c.without(found), zombies
}

// known has the PIDs of the members.
func (c *checkpoint) known() map[int]bool {
	known := make(map[int]bool, len(c.members))
	for _, m := range c.members {
		known[m.pid] = true
	}
	return known
}

// childrenOf lists the children of a process. A child that begins or ends meanwhile may be missing.
func childrenOf(pid int) (all []int) {
	tids, err := proc.Tasks(pid)
	if err != nil {
		return nil
	}
	for _, tid := range tids {
		text, err := proc.ReadFile(proc.Path(pid, fmt.Sprintf("task/%d/children", tid)))
		if errors.Is(err, os.ErrNotExist) && tid == pid { // a kernel without CONFIG_PROC_CHILDREN
			return childrenByParent(pid)
		}
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				all = append(all, child)
			}
		}
	}
	return all
}

// childrenByParent looks for the children of a process among all processes.
func childrenByParent(parent int) (all []int) {
	pids, _ := proc.Pids()
	for _, pid := range pids {
		if stat, err := proc.Read(pid, "stat", proc.Stat); err == nil && stat.PPid == parent {
			all = append(all, pid)
		}
	}
	return all
}

// zombieOf is the record of a process that has ended.
func zombieOf(stat *proc.StatInfo) (image.Zombie, error) {
	status, err := proc.Read(stat.Pid, "status", proc.Status)
	if err != nil {
		return image.Zombie{}, err
	}
	parent, err := proc.Read(stat.PPid, "status", proc.Status)
	if err != nil {
		return image.Zombie{}, err
	}
	const tick = 10_000 // microseconds: USER_HZ is 100
	return image.Zombie{
		Pid:          image.Pid(insidePid(status)),
		Parent:       image.Pid(insidePid(parent)),
		ProcessGroup: image.Pid(innermost(status.NSpgid, stat.Pgrp)),
		Session:      image.Pid(innermost(status.NSsid, stat.Session)),
		ExitSignal:   max(stat.ExitSignal, 0),
		Comm:         stat.Comm,
		Status:       uint32(stat.ExitCode),
		UID:          status.Uid[0],
		UserUs:       int64(stat.Utime) * tick,
		SystemUs:     int64(stat.Stime) * tick,
	}, nil
}

// innermost is the ID in the process's own PID namespace. each has the ID in every PID namespace. outside is the ID in the writer's
// PID namespace.
func innermost(each []int, outside int) int {
	if n := len(each); n > 0 {
		return each[n-1]
	}
	return outside
}

// admit makes processes members. Those that have ended meanwhile are left out. The error names every process that cannot be a
// member.
func (c *checkpoint) admit(pids []int) ([]*member, error) {
	if err := c.roomFor(len(c.members) + len(pids)); err != nil {
		return nil, err
	}
	fresh := make([]*member, len(pids))
	lists := make([]obstacle.List, len(pids))
	err := inParallel(len(pids), c.atOnce, func(i int) (err error) {
		if lists[i], err = settled(pids[i]); err != nil || len(lists[i]) > 0 {
			if hasEnded(pids[i]) {
				lists[i] = nil
			}
			return ended(pids[i], err)
		}
		m, err := c.newMember(pids[i])
		if err != nil {
			return ended(pids[i], err)
		}
		confirmed := false
		if lists[i], err = c.foreign(pids[i]); err == nil && len(lists[i]) == 0 {
			confirmed, err = c.confirms(m)
			err = ended(pids[i], err)
		}
		if confirmed {
			fresh[i] = m
		} else {
			m.close()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if list := slices.Concat(lists...); len(list) > 0 {
		c.adviseSkip(list)
		slices.SortStableFunc(list, func(a, b obstacle.Obstacle) int { return cmp.Compare(a.Pid, b.Pid) })
		return nil, list
	}
	fresh = slices.DeleteFunc(fresh, func(m *member) bool { return m == nil })
	c.members = append(c.members, fresh...)
	for _, m := range fresh {
		c.follow(m)
	}
	return fresh, nil
}

// settled returns the result of candidate for a process. If the process executes a program meanwhile, the result may mix two
// programs, and settled calls candidate again.
func settled(pid int) (list obstacle.List, err error) {
	for deadline := time.Now().Add(patienceExec); ; {
		before := programOf(pid)
		list, err = candidate(pid)
		if err != nil || len(list) == 0 || programOf(pid) == before || time.Now().After(deadline) {
			return list, err
		}
	}
}

// hasEnded tells whether there is no live process with this PID. A process that is ending is not live.
func hasEnded(pid int) bool {
	_, err := liveThread(pid)
	return err != nil
}

// ended returns err, or nil if the process has ended: such a process is no member, and its error does not count.
func ended(pid int, err error) error {
	if hasEnded(pid) {
		return nil
	}
	return err
}

// foreign refuses a descendant whose rights or namespaces are not those of the group's root. Otherwise a writer with more rights,
// for example one that a program of root has started, would do for the descendant what the descendant may not do itself.
func (c *checkpoint) foreign(pid int) (obstacle.List, error) {
	refuse := func(what, why, do string) obstacle.List {
		return obstacle.List{{Pid: pid, What: what, Why: why, Do: do}}
	}
	for _, kind := range []string{"pid", "user", "mnt", "cgroup", "time"} {
		if ours, theirs := nameOf(c.Pid, "ns/"+kind), nameOf(pid, "ns/"+kind); ours != "" && theirs != "" && ours != theirs {
			return refuse(fmt.Sprintf("in another %s namespace than pid %d", kind, c.Pid), "all members of a group must be in the same", "checkpoint it by itself"), nil
		}
	}
	now, err := rightsOf(pid)
	if err != nil {
		return nil, ended(pid, err)
	}
	if !now.sameIDs(*c.group) || c.group.caps&^now.caps != 0 {
		return refuse(fmt.Sprintf("process of user %d", now.uid[1]), fmt.Sprintf("its user, groups or capabilities are not those of pid %d, and all members of a group must have the same", c.Pid), ""), nil
	}
	return nil, nil
}

// nameOf reads a link of /proc/PID. It is "" if the link cannot be read.
func nameOf(pid int, name string) string {
	text, _ := os.Readlink(proc.Path(pid, name))
	return text
}

// lockAll takes the locks of all members in the order of their PIDs. Of two writers that want some of the same members, one
// gets all of its locks.
func (c *checkpoint) lockAll() error {
	sorted := slices.SortedFunc(slices.Values(c.members), func(a, b *member) int { return cmp.Compare(a.pid, b.pid) })
	for _, m := range sorted {
		if err := m.lock(); err != nil && !c.drops(m, err) {
			return err
		}
	}
	c.prune()
	return nil
}

// drops tells whether a member that has failed is left out, because it has ended, or has executed another program. If it has
// executed another program, the freeze finds it again. The root is never left out.
func (c *checkpoint) drops(m *member, err error) bool {
	if m.pid == c.Pid || context.Cause(c.Context) != nil {
		return false
	}
	gone := m.isGone()
	if !gone && !isAnotherError(err) {
		return false
	}
	c.dropping.Lock()
	defer c.dropping.Unlock()
	m.dropped = true
	if !gone {
		c.again = append(c.again, m.pid)
	}
	return true
}

// prune removes the members that drops has left out.
func (c *checkpoint) prune() {
	c.members = slices.DeleteFunc(c.members, func(m *member) bool {
		if m.dropped {
			m.close()
		}
		return m.dropped
	})
}
