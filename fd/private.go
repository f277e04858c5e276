package fd

import (
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// An outsider is an ancestor of a member that does not belong to the group.
type outsider struct {
	pid int
	fds map[int]bool // nil: the writer may not look
}

// private refuses a description that an ancestor outside the group has open under the same number. After a restart the two
// would be apart. The kernel offers no quick way to look for all other processes that have it.
func (c *capture) private(o *open, what string) error {
	for _, a := range c.outsiders(o.member.live()) {
		if a.fds[o.fd] && isSame(o.member.live(), o.fd, a.pid, o.fd) {
			return obstacle.Obstacle{What: what, Why: processName(a.pid) + ", outside the program, has it open as well",
				Do: closeIt, Option: leaveOut(o.fd)}
		}
	}
	return nil
}

// outsiders looks at the ancestors of a member once: the member may have thousands of descriptors.
func (c *capture) outsiders(member int) []*outsider {
	if all, known := c.ancestry[member]; known {
		return all
	}
	if c.ancestry == nil {
		c.ancestry, c.strangers = make(map[int][]*outsider), make(map[int]*outsider)
	}
	members := make(map[int]bool)
	for _, d := range c.members {
		members[d.member.Pid] = true
	}
	var all []*outsider
	for _, pid := range ancestors(member) {
		if members[pid] {
			continue
		}
		a := c.strangers[pid]
		if a == nil {
			a = &outsider{pid: pid}
			if fds, err := proc.Fds(pid); err == nil {
				a.fds = make(map[int]bool, len(fds))
				for _, fd := range fds {
					a.fds[fd] = true
				}
			}
			c.strangers[pid] = a
		}
		all = append(all, a)
	}
	c.ancestry[member] = all
	return all
}
