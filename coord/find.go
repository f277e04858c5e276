package coord

import (
	"cmp"
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
	timeoutFind = time.Second // to find them all while they run; the freeze finds those that are missed

	timeoutUnsure = 200 * time.Millisecond // for a look that can have missed no process
	looksUnsure   = 30                     // the same: on a busy machine one look may take as long as timeoutUnsure
	looksBefore   = 3                      // at all processes, just before the freeze
)

// timeoutGroup is the longest time in which all members of a group are frozen. A member may belong to another user than the others, and
// answer as slowly as it likes. So this bounds how long the others stand still. A test shortens it.
var timeoutGroup = 30 * time.Second

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
	if err := c.asleep(); err != nil { // the child of a vfork(2) is then no obstacle of its own
		return err
	}
	if err := c.findAll(); err != nil {
		return err
	}
	return c.asleep()
}

// findAll makes the other processes of the group members.
func (c *checkpoint) findAll() error {
	for deadline := time.Now().Add(timeoutFind); ; {
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

// look finds the processes that are not members yet, and the zombies: children of members, and processes with an ID of the group.
// It sets c.unsure if it may have missed a process. While the kernel lists children, it may skip one if a child that it has listed
// before ends and is reaped. Then look has seen a PID that no longer exists.
func (c *checkpoint) look() (pids []int, zombies []image.Zombie) {
	known := c.known()
	candidates := c.again
	c.again = nil
	c.starts = make(map[int]uint64)
	for _, m := range c.members {
		candidates = append(candidates, m.children()...)
	}
	candidates = append(candidates, c.findByID(known)...)
	var found []proc.StatInfo
	for _, pid := range candidates {
		if known[pid] || pid == os.Getpid() {
			continue
		}
		known[pid] = true
		stat, err := proc.Read(pid, "stat", proc.Stat)
		if err == nil && stat.ExitSignal == abi.ExitSignal { // a reaper or a twin
			continue
		}
		if c.isOver(pid, &stat, err) {
			if err != nil || stat.State == 'X' {
				continue
			}
			if z, err := zombieOf(&stat); err == nil {
				zombies = append(zombies, z)
			}
			continue
		}
		found = append(found, stat)
		c.starts[pid] = stat.StartTime
	}
	slices.SortFunc(zombies, func(a, b image.Zombie) int { return cmp.Compare(a.Pid, b.Pid) })
	pids = c.without(found)
	c.unsure = c.unsure || len(pids) > 0
	return pids, zombies
}

// known has the PIDs of the members.
func (c *checkpoint) known() map[int]bool {
	known := make(map[int]bool, len(c.members))
	for _, m := range c.members {
		known[m.pid] = true
	}
	return known
}

// children lists the children of a member. A frozen process begins no thread.
func (m *member) children() []int {
	if m.conn != nil && m.dump != nil && len(m.dump.Threads) == 1 && m.live == m.pid {
		if all, err := childrenOfThread(m.pid, m.pid); err == nil {
			return all
		}
	}
	return childrenOf(m.pid)
}

// childrenOf lists the children of a process. A child that begins or ends meanwhile may be missing.
func childrenOf(pid int) (all []int) {
	tids, err := proc.Tasks(pid)
	if err != nil {
		return nil
	}
	for _, tid := range tids {
		children, err := childrenOfThread(pid, tid)
		if errors.Is(err, os.ErrNotExist) && tid == pid { // a kernel without CONFIG_PROC_CHILDREN
			return childrenByParent(pid)
		}
		all = append(all, children...)
	}
	return all
}

func childrenOfThread(pid, tid int) (all []int, err error) {
	text, err := proc.ReadFile(proc.Path(pid, "task/"+strconv.Itoa(tid)+"/children"))
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			all = append(all, child)
		}
	}
	return all, err
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
		ProcessGroup: image.Pid(proc.Innermost(status.NSpgid, stat.Pgrp)),
		Session:      image.Pid(proc.Innermost(status.NSsid, stat.Session)),
		ExitSignal:   max(stat.ExitSignal, 0),
		Comm:         stat.Comm,
		Status:       uint32(stat.ExitCode),
		UID:          status.Uid[0],
		UserUs:       int64(stat.Utime) * tick,
		SystemUs:     int64(stat.Stime) * tick,
	}, nil
}
