package coord

import (
	"cmp"
	"context"
	"os"
	"slices"
	"time"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// admit makes processes members. Those that have ended meanwhile are left out. The error names every process that cannot be a
// member.
func (c *checkpoint) admit(pids []int) ([]*member, error) {
	if err := c.roomFor(len(c.members) + len(pids)); err != nil {
		return nil, err
	}
	fresh := make([]*member, len(pids))
	lists := make([]obstacle.List, len(pids))
	admitted := false
	defer func() {
		for _, m := range fresh {
			if !admitted && m != nil {
				m.close() // otherwise crak would go on tracing one that is stopped
			}
		}
	}()
	err := inParallel(len(pids), c.atOnce, func(i int) (err error) {
		if lists[i], err = c.foreign(pids[i]); err == nil && len(lists[i]) == 0 {
			lists[i], err = settled(pids[i])
		}
		if err != nil || len(lists[i]) > 0 {
			if hasEnded(pids[i]) {
				lists[i] = nil
			}
			return ended(pids[i], err)
		}
		m, err := c.newMember(pids[i])
		if err != nil {
			return ended(pids[i], err)
		}
		if m.start != c.starts[m.pid] || m.rights.start != m.start {
			m.close() // the process has ended, and another one, perhaps of another user, has its PID
			return nil
		}
		confirmed, err := c.confirms(m)
		err = ended(pids[i], err)
		if confirmed {
			fresh[i] = m
		} else {
			m.close()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if list := slices.Concat(lists...); len(list) > 0 {
		c.adviseSkip(list)
		slices.SortStableFunc(list, func(a, b obstacle.Obstacle) int { return cmp.Compare(a.Pid, b.Pid) })
		return nil, list
	}
	fresh = slices.DeleteFunc(fresh, func(m *member) bool { return m == nil })
	c.members, admitted = append(c.members, fresh...), true
	for _, m := range fresh {
		c.follow(m)
	}
	return fresh, nil
}

// settled returns the result of candidate for a process. If the process executes a program meanwhile, the result may mix two
// programs, and settled calls candidate again.
func settled(pid int) (list obstacle.List, err error) {
	for deadline := time.Now().Add(timeoutExec); ; {
		before := programOf(pid)
		list, err = candidate(pid)
		if err != nil || len(list) == 0 || programOf(pid) == before || time.Now().After(deadline) {
			return list, err
		}
	}
}

// hasEnded tells whether there is no live process with this PID. A process that is ending is not live.
func hasEnded(pid int) bool {
	_, err := liveThread(pid)
	return err != nil
}

// ended returns err, or nil if the process has ended: such a process is no member, and its error does not count.
func ended(pid int, err error) error {
	if hasEnded(pid) {
		return nil
	}
	return err
}

// nameOf reads a link of /proc/PID. It is "" if the link cannot be read.
func nameOf(pid int, name string) string {
	text, _ := os.Readlink(proc.Path(pid, name))
	return text
}

// lockAll takes the locks of all members in the order of their PIDs. Of two writers that want some of the same members, one
// gets all of its locks.
func (c *checkpoint) lockAll() error {
	sorted := slices.SortedFunc(slices.Values(c.members), func(a, b *member) int { return cmp.Compare(a.pid, b.pid) })
	for _, m := range sorted {
		if err := m.lock(); err != nil && !c.drops(m, err) {
			return err
		}
	}
	c.prune()
	return nil
}

// drops tells whether a member that has failed is left out, because it has ended, or has executed another program. If it has
// executed another program, the freeze finds it again. The root is never left out.
func (c *checkpoint) drops(m *member, err error) bool {
	if m.pid == c.Pid || context.Cause(c.Context) != nil {
		return false
	}
	gone := m.isGone()
	if !gone && !isAnotherError(err) {
		return false
	}
	c.dropping.Lock()
	defer c.dropping.Unlock()
	m.dropped, c.unsure = true, true
	if !gone {
		c.again = append(c.again, m.pid)
	}
	return true
}

// prune removes the members that drops has left out.
func (c *checkpoint) prune() {
	c.members = slices.DeleteFunc(c.members, func(m *member) bool {
		if m.dropped {
			m.close()
		}
		return m.dropped
	})
}
