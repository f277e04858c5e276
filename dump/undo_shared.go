package dump

import (
	"fmt"

	"crak.dev/crak/internal/kcmp"
	"crak.dev/crak/internal/obstacle"
)

// refuseSharedUndo refuses adjustments that a restart would not bring back: those that two processes share (CLONE_SYSVSEM of clone(2)),
// and those of a thread that does not share them with the others (unshare(2)). found are the adjustments of each member.
func (c *sysvCapture) refuseSharedUndo(found [][]*search) {
	var holders []*Member
	for i, m := range c.members {
		for _, w := range m.waiting {
			if !sharesUndo(m.Live, w.tid) {
				c.refuseUndo(m, fmt.Sprintf("thread %d has adjustments (SEM_UNDO) of its own: unshare(2), CLONE_SYSVSEM", w.tid))
				break
			}
		}
		if len(found[i]) == 0 { // kcmp finds processes equal that have no adjustments
			continue
		}
		for _, other := range holders {
			if sharesUndo(m.Live, other.Live) {
				c.refuseUndo(other, fmt.Sprintf("it shares its adjustments (SEM_UNDO) with process %d: clone(2), CLONE_SYSVSEM", m.Pid))
				break
			}
		}
		holders = append(holders, m)
	}
}

func (c *sysvCapture) refuseUndo(m *Member, why string) {
	c.found.Obstacles = append(c.found.Obstacles, obstacle.Obstacle{Pid: m.Pid, What: "System V semaphores", Why: why,
		Do: "make the checkpoint while the program has no adjustment, or let it do without CLONE_SYSVSEM"})
}

// sharesUndo tells whether two threads have the same list of adjustments. It is also true if kcmp(2) cannot tell.
func sharesUndo(a, b int) bool {
	order, err := kcmp.Threads(a, b, kcmp.SemaphoreUndo)
	return err != nil || order == 0
}
