package restore

import (
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// checkZombies makes sure that every zombie has the status that the image has for it. A process that was killed during the restart
// has another status. Preconditions: all members are ready.
func (c *coordinator) checkZombies() error {
	want := make(map[int]image.Zombie)
	for _, z := range c.group.img.Group.Zombies {
		want[int(z.Pid)] = z
	}
	if len(want) == 0 {
		return nil
	}
	for _, pid := range c.family.descendants() {
		stat, err := proc.Read(pid, "stat", proc.Stat)
		if err != nil || stat.State != 'Z' {
			continue
		}
		status, err := proc.Read(pid, "status", proc.Status)
		if err != nil || len(status.NSpid) == 0 {
			continue
		}
		z, ok := want[status.NSpid[len(status.NSpid)-1]]
		if have, must := withoutCore(uint32(stat.ExitCode)), withoutCore(z.Status); ok && have != must {
			return fmt.Errorf("zombie %d: %s while it was restored, and not %s", z.Pid, ending(have), ending(must))
		}
	}
	return nil
}

// withoutCore is a wait status without the bit for a core file: the restart writes none.
func withoutCore(status uint32) unix.WaitStatus { return unix.WaitStatus(status &^ 0x80) }
