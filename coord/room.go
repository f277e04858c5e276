package coord

import (
	"fmt"
	"os"

	"crak.dev/crak/internal/cgroup"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// Values of CRAK_TWIN.
const (
	twinAuto  = "auto"  // the default: make a twin if there is enough memory for its copies
	twinNeed  = "need"  // refuse the checkpoint if there is not
	twinNever = "never" // make no twin: the program is frozen until its memory is written
)

// writerMemory is how much memory a writer uses. A writer that the program starts is in the program's control group.
const writerMemory = 16 << 20

// planTwin decides whether to make twins. A twin shares its process's private memory copy-on-write. The kernel copies each page
// that the process writes to while the image is written: at most all of its private memory. If the copies exceed the limit
// of a memory control group, the kernel kills a process of that group. So if a group has less room, there are no twins.
func (c *checkpoint) planTwin() error {
	choice := c.Twin
	if choice == "" {
		choice = c.settings["CRAK_TWIN"]
	}
	switch choice {
	case "", twinAuto, twinNeed:
	case twinNever:
		c.noTwin = "CRAK_TWIN=never"
		return nil
	default:
		return fmt.Errorf("CRAK_TWIN=%q: neither auto, need nor never", choice)
	}
	c.needTwin = choice == twinNeed
	if c.Kill {
		return nil
	}
	need := make(map[string]uint64) // by control group
	for _, m := range c.members {
		status, err := proc.Read(m.live, "status", proc.Status)
		if err != nil {
			if m.pid != c.Pid {
				continue // it has ended
			}
			return fmt.Errorf("pid %d: %w", m.pid, err)
		}
		group, _ := os.ReadFile(proc.Path(m.pid, "cgroup"))
		if need[string(group)] == 0 {
			need[string(group)] = writerMemory
		}
		need[string(group)] += status.RssAnon + status.VmPTE
		room := cgroup.MemoryRoom(m.pid)
		if need[string(group)] <= room {
			continue
		}
		c.noTwin = fmt.Sprintf("its control group has room for %d MiB more, and a copy-on-write twin could take %d MiB", room>>20, need[string(group)]>>20)
		if c.needTwin {
			return obstacle.List{{Pid: m.pid, What: "no memory for a twin", Why: c.noTwin,
				Do: "raise memory.max, or let the program be frozen while its memory is written: CRAK_TWIN=auto"}}
		}
		return nil
	}
	return nil
}

// roomForContent is how much memory the writer may use for content that it saves while the program is frozen. It is half of
// what the writer's control group has left: the page cache of the files that it writes counts there, too.
func roomForContent() uint64 {
	room := cgroup.MemoryRoom(os.Getpid())
	return (room - min(room, writerMemory)) / 2
}

// OfferToOOM has the kernel kill this process first when memory runs out. A writer calls it, so that the kernel does not kill the
// program, which may be in the same control group. Raising the score needs no privilege. If /proc is read-only, nothing
// happens.
func OfferToOOM() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) }
