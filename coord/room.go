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
	twinAuto  = "auto"  // the default: a twin, where memory suffices
	twinNeed  = "need"  // refuse to freeze the program for as long as its memory is written
	twinNever = "never" // save memory, and freeze it
)

// writerMemory is what a writer uses of a control group that it shares with the program.
const writerMemory = 16 << 20

// planTwin decides whether a twin is made. A twin shares the program's memory, but whatever the program writes to while the image
// is written is copied: up to all of its private memory. Beyond the limit of a memory control group the kernel ends a process
// of the group, so where there is less room the program stays frozen instead.
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
	status, err := proc.Read(c.member.live, "status", proc.Status)
	if err != nil {
		return fmt.Errorf("pid %d: %w", c.Pid, err)
	}
	need, room := status.RssAnon+status.VmPTE+writerMemory, cgroup.MemoryRoom(c.Pid)
	if need <= room || c.Kill {
		return nil
	}
	c.noTwin = fmt.Sprintf("its control group has room for %d MiB more, and a copy-on-write twin could take %d MiB", room>>20, need>>20)
	if c.needTwin {
		return obstacle.List{{Pid: c.Pid, What: "no memory for a twin", Why: c.noTwin,
			Do: "raise memory.max, or let it stand still while its memory is written: CRAK_TWIN=auto"}}
	}
	return nil
}

// roomForContent is how much memory the writer may use for content that it saves while the program is frozen: half of what
// its control group has left, as the files that it writes count there as well until they are on the disk.
func roomForContent() uint64 {
	room := cgroup.MemoryRoom(os.Getpid())
	return (room - min(room, writerMemory)) / 2
}

// OfferToOOM has the kernel end this process before any other one when memory runs out: a writer, which may share a control group
// with the program. No privilege is needed to raise the score; where /proc is read-only, nothing happens.
func OfferToOOM() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) }
