// Package cgroup tells how much memory a process may still use before its control group's limit is reached
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

// Unlimited is the room of a process that no limit applies to.
const Unlimited = math.MaxUint64

// MemoryRoom is how many bytes more the memory control group of a process may use before the kernel kills one of its processes,
// page cache given back included: the least of it and of the groups above it, as far as they are mounted here.
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

// version is how the files of a group are called.
type version struct {
	controller string // in /proc/PID/cgroup and among the options of the mount
	limit      string
	usage      string
	cache      []string // of memory.stat: page cache that the kernel takes back before it kills
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

// room of one group, whatever the groups above it have.
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

// number reads a file with one. Where there is none, as in "max", it is no number.
func number(path string) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63)
	return n, err == nil && n < math.MaxInt64/4096*4096
}
