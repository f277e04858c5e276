package lab

import (
	"fmt"
	"strings"

	"crak.dev/crak/internal/kcmp"
)

// What members share has no number that survives a restart. It is named by the first who has it: PID:FD is a descriptor,
// PID:ADDRESS a mapping.

// An owned descriptor is one in the table of a process, in the lab's PID namespace.
type owned struct {
	pid, fd int
	name    string
}

// nameDescriptions gives each descriptor the field description, which is the same for all that refer to one open file
// description. It has none where the kernel refuses to compare.
func nameDescriptions(members []member) {
	alike := map[string][]owned{} // one of each description, by what can be seen of it
	for _, m := range members {
		for _, fd := range numbered(m.tree("descriptors")) {
			info := fd.tree
			mine := owned{m.raw, fd.number, fmt.Sprintf("%d:%d", m.pid, fd.number)}
			key := fmt.Sprint(info["target"], info["flags"])
			name := mine.name
			for _, other := range alike[key] {
				order, err := kcmp.Files(other.pid, other.fd, mine.pid, mine.fd)
				if err != nil {
					name = ""
				} else if order == 0 {
					name = other.name
					break
				}
			}
			if name == mine.name {
				alike[key] = append(alike[key], mine)
			}
			if name != "" {
				info["description"] = name
			}
		}
	}
}

// namePipes replaces the inode number of each pipe and socket, which the kernel chooses anew.
func namePipes(members []member) {
	names := map[string]string{}
	for _, m := range members {
		for _, fd := range numbered(m.tree("descriptors")) {
			target, _ := fd.tree["target"].(string)
			kind, _, _ := strings.Cut(target, ":[")
			if kind != "pipe" && kind != "socket" {
				continue
			}
			if names[target] == "" {
				names[target] = fmt.Sprintf("%s of %d:%d", kind, m.pid, fd.number)
			}
			fd.tree["target"] = names[target]
			delete(fd.tree, "ino")
		}
	}
}

// namePidfds removes from each pidfd the inode number, which the kernel chooses anew, and the numbers of the process in other PID
// namespaces than its own.
func namePidfds(members []member) {
	for _, m := range members {
		for _, fd := range numbered(m.tree("descriptors")) {
			if target, _ := fd.tree["target"].(string); target != "anon_inode:[pidfd]" {
				continue
			}
			delete(fd.tree, "ino")
			delete(fd.tree, "Pid")
			if all, _ := fd.tree["NSpid"].(string); all != "" {
				words := strings.Fields(all)
				fd.tree["NSpid"] = words[len(words)-1]
			}
		}
	}
}

// nameObjects replaces the device and inode number of shared memory.
func nameObjects(members []member) {
	names := map[string]string{}
	for _, m := range members {
		for _, at := range sorted(m.tree("mappings")) {
			mapping, _ := m.tree("mappings")[at].(map[string]any)
			object, _ := mapping["object"].(string)
			if object == "" {
				continue
			}
			if names[object] == "" {
				start, _, _ := strings.Cut(at, "-")
				names[object] = fmt.Sprintf("%d:%s", m.pid, start)
			}
			mapping["object"] = names[object]
		}
	}
}
