package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Group is a picture of every member of a group, by PID in the group's own PID namespace. Beside what [Take] sees, a member
// has these fields:
//
//	life                     alive, stopped, traced or zombie
//	parent                   PID of a member, or "outside"
//	group, session           a number, or "root's" where it is that of the root
//	terminal, foreground     none, "root's" or another; whether the member's group has the foreground
//	exit_signal              of all but the root
//	descriptors.FD.description   the first descriptor PID:FD that refers to the same open file description
//	mappings.*.object        the first mapping PID:ADDRESS of the same shared memory
type Group map[string]Picture

// A member is one of the processes that a picture of a group is taken of.
type member struct {
	Picture
	raw int // PID in the lab's PID namespace
	pid int // and in the group's own
}

// TakeGroup makes a picture of these processes, of which root is one.
func TakeGroup(root int, pids []int) (Group, error) {
	if !slices.Contains(pids, root) {
		return nil, fmt.Errorf("pid %d has ended", root)
	}
	var members []member
	for _, pid := range pids {
		m, err := takeMember(pid)
		if pid != root && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)) {
			continue // ended since
		}
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b member) int { return a.pid - b.pid })
	relate(root, members)
	nameDescriptions(members)
	namePipes(members)
	namePidfds(members)
	nameObjects(members)
	group := Group{}
	for _, m := range members {
		group[strconv.Itoa(m.pid)] = m.Picture
	}
	return group, nil
}

func takeMember(pid int) (member, error) {
	picture, err := undisturbed(pid)
	if err != nil {
		return member{}, err
	}
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return member{}, err
	}
	inner, err := strconv.Atoi(innermost(status, strconv.Itoa(pid)))
	return member{picture, pid, inner}, err
}

// relate adds the fields that say how members belong together.
func relate(root int, members []member) {
	at := slices.IndexFunc(members, func(m member) bool { return m.raw == root })
	first := members[at]
	for _, m := range members {
		m.Picture["life"] = life(m.tree("stat"))
		m.Picture["parent"] = "outside"
		for _, other := range members {
			if m.text("stat", "ppid") == strconv.Itoa(other.raw) {
				m.Picture["parent"] = strconv.Itoa(other.pid)
			}
		}
		m.Picture["group"] = m.relation(first, "stat", "pgrp", "NSpgid")
		m.Picture["session"] = m.relation(first, "stat", "session", "NSsid")
		m.Picture["terminal"] = "none"
		if m.text("stat", "tty_nr") != "0" {
			m.Picture["terminal"] = m.relation(first, "stat", "tty_nr", "")
			m.Picture["foreground"] = m.text("stat", "tpgid") == m.text("stat", "pgrp")
		}
		if m.raw != root {
			m.Picture["exit_signal"] = m.text("stat", "exit_signal")
		}
		if m.Picture["life"] == zombieLife {
			m.leaveOutLife()
		}
	}
}

// leaveOutLife reduces the picture of a zombie to what its parent can find out about it.
func (m member) leaveOutLife() {
	maps.DeleteFunc(m.Picture, func(name string, value any) bool {
		_, tree := value.(map[string]any)
		return tree && name != "stat" && name != "status" || name == "personality"
	})
	maps.DeleteFunc(m.tree("stat"), func(name string, _ any) bool { return name != "exit_code" })
	maps.DeleteFunc(m.tree("status"), func(name string, _ any) bool { return !slices.Contains([]string{"Name", "Uid", "Gid"}, name) })
}

// relation is "root's" if a field has the root's value. Otherwise it is the innermost number of a field of status.
func (m member) relation(root member, table, field, inner string) string {
	if m.text(table, field) == root.text(table, field) {
		return "root's"
	}
	numbers := strings.Fields(m.text("status", inner))
	if len(numbers) == 0 {
		return "another"
	}
	return numbers[len(numbers)-1]
}

const (
	zombieLife  = "zombie"
	stoppedLife = "stopped"
)

// life is the state of a process, without the difference between a process that sleeps and one that runs. If only the main thread has
// ended, the process lives, although its state is Z.
func life(stat map[string]any) string {
	switch stat["state"] {
	case "Z", "X":
		if threads, _ := stat["num_threads"].(string); threads == "0" || threads == "1" {
			return zombieLife
		}
	case "T":
		return stoppedLife
	case "t":
		return "traced"
	}
	return "alive"
}

// tree and text return a field of a picture. The result is empty if there is no such field.
func (m member) tree(name string) map[string]any {
	tree, _ := m.Picture[name].(map[string]any)
	return tree
}

func (m member) text(table, field string) string {
	text, _ := m.tree(table)[field].(string)
	return text
}

// An entry is a subtree that is named by a number.
type entry struct {
	number int
	tree   map[string]any
}

// numbered lists the subtrees of a tree in the order of their numbers.
func numbered(tree map[string]any) []entry {
	var all []entry
	for name, sub := range tree {
		number, err := strconv.Atoi(name)
		if fields, ok := sub.(map[string]any); ok && err == nil {
			all = append(all, entry{number, fields})
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return a.number - b.number })
	return all
}

func sorted(tree map[string]any) []string { return slices.Sorted(maps.Keys(tree)) }
