package coord

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/rights"
)

// Members of different users. The writer has the rights of the group's root. It looks at each other member in a thread that has the
// rights of this member alone, as crak looks at a program that belongs to another user (Adopt). So what a member says, and the files
// that it has prepared, give it nothing that it could not do itself. The writer uses its own rights only where the kernel alone
// answers:
//
//   - to open the memory of a member that is not dumpable (Key), and to lock the member,
//   - to compare descriptors of two members (kcmp(2)),
//   - to take handles of descriptors, and to read pipes through them,
//   - to send signals.

// needed are the capabilities without which the writer cannot become another user and look at processes of several users.
const needed = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_SYS_PTRACE

// mayBecome tells whether the writer can have a thread with these rights, and no others.
func (c *checkpoint) mayBecome(r *Rights) bool {
	return !r.foreign && r.caps&^c.group.caps == 0 && c.group.caps&needed == needed
}

// foreign refuses a descendant in other namespaces than the group's root, and one of another user if the writer may not become that
// user.
func (c *checkpoint) foreign(pid int) (obstacle.List, error) {
	for _, kind := range []string{"pid", "user", "mnt", "cgroup", "time"} {
		if ours, theirs := nameOf(c.Pid, "ns/"+kind), nameOf(pid, "ns/"+kind); ours != "" && theirs != "" && ours != theirs {
			return obstacle.List{{Pid: pid, What: fmt.Sprintf("in another %s namespace than pid %d", kind, c.Pid),
				Why: "all members of a group must be in the same", Do: "checkpoint it by itself"}}, nil
		}
	}
	now, err := rightsOf(pid)
	if err != nil {
		return nil, ended(pid, err)
	}
	if c.hasRightsOf(&now) || c.mayBecome(&now) {
		return nil, nil
	}
	o := obstacle.Obstacle{Pid: pid, What: fmt.Sprintf("process of user %d", now.uid[1])}
	switch {
	case c.group.uid[1] != 0:
		o.Why = fmt.Sprintf("pid %d, the root of the group, belongs to user %d: only a program of root can be checkpointed together with processes of other users",
			c.Pid, c.group.uid[1])
	case now.caps&^c.group.caps != 0:
		o.Why = fmt.Sprintf("it has capabilities that pid %d, the root of the group, or crak does not have", c.Pid)
	default:
		o.Why = "to read a process of another user, crak and the root of the group need CAP_SETUID, CAP_SETGID and CAP_SYS_PTRACE"
		o.Do = "in a container: --cap-add SYS_PTRACE"
	}
	return obstacle.List{o}, nil
}

// hasSeveralUsers tells whether a member belongs to another user than the writer.
func (c *checkpoint) hasSeveralUsers() bool {
	return slices.ContainsFunc(c.members, func(m *member) bool { return m.apart != nil })
}

// hasRightsOf tells whether the writer has the IDs of a process, and no capability that the process does not have.
func (c *checkpoint) hasRightsOf(r *Rights) bool {
	return r.sameIDs(*c.group) && c.group.caps&^r.caps == 0
}

// readRights reads which rights a member has, and sets how the writer looks at the member.
func (c *checkpoint) readRights(m *member) error {
	now, err := rightsOf(m.pid)
	if err != nil {
		return resident.ErrEnded
	}
	m.rights, m.apart = &now, nil
	if c.hasRightsOf(&now) {
		m.rights.caps = c.group.caps // it may have more than the writer
		return nil
	}
	m.apart = &rights.User{UID: now.uid, GID: now.gid, Groups: now.groups, Capabilities: now.caps}
	return nil
}

// refresh reads the rights of a member again if they have changed.
func (c *checkpoint) refresh(m *member) error {
	err := m.rights.still(m.pid)
	if !passes(err) {
		return nil // the freeze refuses what is wrong
	}
	if err := c.readRights(m); err != nil {
		return nil
	}
	list, err := c.foreign(m.pid)
	return cmp.Or(err, list.Err())
}

// query queries a member. If the member changes its user meanwhile, query begins anew.
func (c *checkpoint) query(m *member) error {
	for deadline := time.Now().Add(timeoutPassing); ; {
		err := explainStop(m.query())
		if !passes(err) || time.Now().After(deadline) {
			return err
		}
		if err := c.refresh(m); err != nil {
			return err
		}
	}
}

// orderAs is order with the member's rights alone.
func (m *member) orderAs(ctx context.Context, order int32, timeout time.Duration) (conn *resident.Conn, err error) {
	if m.apart != nil && !m.key.IsKnown() {
		if memory, err := resident.OpenMemory(m.pid); err == nil { // if the program is not dumpable, its user may not open it
			m.key.Memory = memory
			defer func() {
				m.key.Memory = nil
				memory.Close()
			}()
		}
	}
	err = m.as(func() (err error) {
		conn, err = m.order(ctx, order, timeout)
		return err
	})
	return conn, err
}

// as calls a function that looks at a member, with the member's rights alone.
func (m *member) as(do func() error) error {
	if m.apart == nil {
		return do()
	}
	return m.apart.Do(do)
}

// doAs is as for the packages that read a member, or nil if the writer's rights are those of the member.
func (m *member) doAs() func(func() error) error {
	if m.apart == nil {
		return nil
	}
	return m.apart.Do
}
