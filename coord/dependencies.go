package coord

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// A member that needs a process that is left out is an obstacle: the process has the other end of a pipe, both share memory without
// a file, or the member waits for the end of the process.

// dependencies collects these obstacles.
func (c *checkpoint) dependencies() obstacle.List { return dependenciesOn(c.members, c.left) }

func dependenciesOn(members []*member, left map[int]string) (list obstacle.List) {
	if len(left) == 0 {
		return nil
	}
	outside := make(map[string]outsider) // by the name of the pipe or memory that they have
	var hidden []outsider
	for pid, name := range left {
		o := outsider{pid, fmt.Sprintf("pid %d (%q)", pid, name)}
		if isUnreadable(pid) {
			hidden = append(hidden, o)
		}
		for _, end := range pipesOf(pid) {
			outside[end.link+end.mode] = o
		}
		for _, memory := range sharedMemoryOf(pid) {
			outside[memory] = o
		}
	}
	refuse := func(m *member, o outsider, where, what, why string) {
		list = append(list, obstacle.Obstacle{Pid: m.pid, Where: where, What: what + o.name + ", which is left out", Why: why, Do: withoutSkip})
	}
	for _, m := range members {
		pipes, shared := pipesOf(m.pid), sharedMemoryOf(m.pid)
		if len(hidden) > 0 && len(pipes)+len(shared) > 0 {
			refuse(m, hidden[0], "", "may share a pipe or memory with ", "crak may not look into that process")
		}
		for _, end := range pipes {
			for _, other := range end.others() {
				if o, ok := outside[end.link+other]; ok {
					refuse(m, o, fmt.Sprintf("fd %d", end.fd), "pipe to ", "after a restart its other end would not be there")
					break
				}
			}
		}
		for _, memory := range shared {
			if o, ok := outside[memory]; ok {
				refuse(m, o, "", "memory shared with ", "after a restart they would not share it any more")
				break
			}
		}
		list = append(list, m.waitsFor(left)...)
	}
	return list
}

// An outsider is a process that is left out.
type outsider struct {
	pid  int
	name string
}

const withoutSkip = "checkpoint both: without --skip or --only"

// isUnreadable tells whether the writer may not see what a process has open.
func isUnreadable(pid int) bool {
	_, err := proc.Fds(pid)
	return errors.Is(err, os.ErrPermission)
}

// A pipeOpen is a descriptor of a process that is an end of a pipe without a name.
type pipeOpen struct {
	fd   int
	link string // "pipe:[12]"
	mode string // r, w or rw
}

// others returns the modes (r, w, rw) of descriptors that are the other end of the pipe.
func (p *pipeOpen) others() []string {
	switch p.mode {
	case "r":
		return []string{"w", "rw"}
	case "w":
		return []string{"r", "rw"}
	}
	return []string{"r", "w", "rw"}
}

func pipesOf(pid int) (all []pipeOpen) {
	live, err := liveThread(pid)
	if err != nil {
		return nil
	}
	fds, _ := proc.Fds(live)
	for _, fd := range fds {
		link, err := os.Readlink(proc.Path(live, "fd/"+strconv.Itoa(fd)))
		if err != nil || !strings.HasPrefix(link, "pipe:[") {
			continue
		}
		info, err := proc.Read(live, "fdinfo/"+strconv.Itoa(fd), proc.Fdinfo)
		if err != nil || info.Flags&unix.O_PATH != 0 {
			continue
		}
		mode := map[uint32]string{unix.O_RDONLY: "r", unix.O_WRONLY: "w", unix.O_RDWR: "rw"}[uint32(info.Flags)&unix.O_ACCMODE]
		all = append(all, pipeOpen{fd, link, mode})
	}
	return all
}

// sharedMemoryOf names the shared memory of a process that has no file: anonymous, memfd, or of a deleted file.
func sharedMemoryOf(pid int) (all []string) {
	live, err := liveThread(pid)
	if err != nil {
		return nil
	}
	mappings, _ := proc.Read(live, "maps", proc.Maps)
	for i := range mappings {
		if m := &mappings[i]; m.Shared && m.Deleted {
			all = append(all, fmt.Sprintf("memory %d:%d:%d", m.Major, m.Minor, m.Inode))
		}
	}
	return all
}

// waitsFor finds the threads of a member that wait for children, if all children that can end the wait are left out.
func (m *member) waitsFor(left map[int]string) (list obstacle.List) {
	var inside, outside []proc.StatInfo
	for _, pid := range childrenOf(m.pid) {
		stat, err := proc.Read(pid, "stat", proc.Stat)
		if err != nil || isCrak(&stat) {
			continue
		}
		if _, ok := left[pid]; ok {
			outside = append(outside, stat)
		} else {
			inside = append(inside, stat)
		}
	}
	if len(outside) == 0 {
		return nil
	}
	for tid, w := range m.waits() {
		if w.matchesAny(inside) == nil {
			if child := w.matchesAny(outside); child != nil {
				list = append(list, obstacle.Obstacle{Pid: m.pid, Where: fmt.Sprintf("thread %d", tid),
					What: fmt.Sprintf("waits for pid %d (%q), which is left out", child.Pid, child.Comm),
					Why:  "after a restart it would not be there to wait for", Do: withoutSkip})
			}
		}
	}
	return list
}

// adviseSkip adds --skip to the hints of obstacles that prevent a process from being a member, if no member needs the process.
func (c *checkpoint) adviseSkip(list obstacle.List) {
	for i := range list {
		o := &list[i]
		stat, err := proc.Read(o.Pid, "stat", proc.Stat)
		if o.Pid == c.Pid || err != nil {
			continue
		}
		left := make(map[int]string)
		leaveOut(left, &stat)
		if len(dependenciesOn(c.members, left)) > 0 {
			continue
		}
		advice := fmt.Sprintf("leave it out: crak checkpoint --skip %d %d", o.Pid, c.Pid)
		if o.Do != "" {
			advice = o.Do + "; or " + advice
		}
		o.Do = advice
	}
}
