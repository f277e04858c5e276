// Package cgroup determines how much more memory a process can use before its control group's limit is reached
// (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"crak.dev/crak/internal/proc"
)

// Unlimited is the room of a process without a limit.
const Unlimited = math.MaxUint64

// MemoryRoom is how many more bytes the memory control group of a process can use before the kernel kills one of its processes.
// It is the minimum over that group and the groups above it, as far as they are mounted here. Page cache that the kernel can
// reclaim counts as free.
func MemoryRoom(pid int) uint64 {
	mounts, err := proc.Read(0, "mountinfo", proc.Mountinfo)
	if err != nil {
		return Unlimited
	}
	text, err := os.ReadFile(proc.Path(pid, "cgroup"))
	if err != nil {
		return Unlimited
	}
	room := uint64(Unlimited)
	for _, m := range mounts {
		v, ok := versions[m.Type]
		if !ok || v.controller != "" && !hasWord(m.SuperBlock, v.controller) {
			continue
		}
		group, ok := groupOf(string(text), v.controller)
		if !ok {
			continue
		}
		below, ok := within(group, m.Root)
		if !ok {
			continue
		}
		for dir := filepath.Join(m.Point, below); len(dir) >= len(m.Point); dir = filepath.Dir(dir) {
			room = min(room, v.room(dir))
			if dir == "/" {
				break
			}
		}
	}
	return room
}

// version has the names of a group's files in one version of control groups.
type version struct {
	controller string // in /proc/PID/cgroup and among the options of the mount
	limit      string
	usage      string
	cache      []string // lines of memory.stat: page cache that the kernel reclaims before it kills a process
}

var versions = map[string]version{
	"cgroup2": {"", "memory.max", "memory.current", []string{"inactive_file", "active_file"}},
	"cgroup":  {"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", []string{"total_inactive_file", "total_active_file"}},
}

// groupOf finds the path of a group in the lines of /proc/PID/cgroup: ID:CONTROLLERS:PATH (cgroups(7)).
func groupOf(text, controller string) (string, bool) {
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) == 3 && hasWord(fields[1], controller) {
			return fields[2], true
		}
	}
	return "", false
}

func hasWord(list, word string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == word {
			return true
		}
	}
	return false
}

// within is the part of a group's path below the root of a mount.
func within(group, root string) (string, bool) {
	if root == "/" {
		return group, true
	}
	below, ok := strings.CutPrefix(group, root)
	return below, ok && (below == "" || below[0] == '/')
}

// room is the room of one group. It ignores the groups above it.
func (v version) room(dir string) uint64 {
	limit, ok := number(filepath.Join(dir, v.limit))
	if !ok {
		return Unlimited
	}
	usage, ok := number(filepath.Join(dir, v.usage))
	if !ok {
		return Unlimited
	}
	return max(limit, usage) - usage + min(v.reclaimable(dir), usage)
}

func (v version) reclaimable(dir string) (sum uint64) {
	text, err := os.ReadFile(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, cache := range v.cache {
			if n, err := strconv.ParseUint(value, 10, 64); name == cache && err == nil {
				sum += n
			}
		}
	}
	return sum
}

// number reads a file that holds one number. ok is false if there is no limit: "max" in version 2, a huge number in version 1.
func number(path string) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63)
	return n, err == nil && n < math.MaxInt64/4096*4096
}
