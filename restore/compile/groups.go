package compile

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// A barrier is a counter, and the number of nodes that arrive at it.
type barrier struct {
	counter program.Arg
	total   int
}

func (at *barrier) make(s *program.Set) {
	if at.total > 0 {
		at.counter = s.Variable(make([]byte, 4))
	}
}

func (at *barrier) arrive(b *program.Builder, note string) { b.Arrive(at.counter, at.total).Note(note) }

// arriveIfAwaited adds no instruction if no node awaits the others.
func (at *barrier) arriveIfAwaited(b *program.Builder, note string) {
	if at.total > 0 {
		at.arrive(b, note)
	}
}

// await adds no instruction if no node arrives.
func (at *barrier) await(b *program.Builder, note string) {
	if at.total > 0 {
		b.Await(at.counter, at.total).Note(note)
	}
}

// groups are the process groups that processes join after they were made.
//
//	leader: setpgid(0, 0) → arrive at led
//	member:                 await led → setpgid(0, leader) → arrive at joined
//	leader that belongs to another group now:                await joined → setpgid → arrive at left
//	leader that has ended (a helper):                        await joined, left → exit
type groups struct {
	now    map[*node]image.Pid // the group in which a node is when its children are made
	joined map[image.Pid]bool  // groups that a node joins
	led    barrier
	join   barrier
	left   barrier
}

// findGroups adds a helper for each process group whose leader has ended.
func (tr *tree) findGroups() {
	sessions := make(map[image.Pid]image.Pid)
	for _, n := range tr.nodes {
		sessions[n.group] = n.session
	}
	delete(sessions, 0)
	for _, g := range slices.Sorted(maps.Keys(sessions)) {
		if tr.byPid[g] != nil {
			continue
		}
		leader := tr.leaders[sessions[g]]
		if leader == nil {
			leader = tr.top
		}
		h := tr.help(g, sessions[g], g)
		leader.makeHelper(h)
	}
}

// join finds out which node joins which group. Preconditions: every node has a maker.
func (tr *tree) join() error {
	g := &tr.groups
	g.now, g.joined = map[*node]image.Pid{tr.top: 0}, make(map[image.Pid]bool)
	for _, n := range tr.nodes {
		if n.group == 0 || n.group == n.pid || n.group == tr.groupNow(n) {
			continue
		}
		leader := tr.byPid[n.group]
		if n.leads() || leader == nil || leader.session != n.session {
			return fmt.Errorf("%s: its process group, %d, is in another session", n.name(), n.group)
		}
		g.joined[n.group] = true
	}
	for _, n := range tr.nodes {
		if g.joined[n.pid] {
			g.led.total++
		}
		switch tr.joins(n) {
		case joinsOnly:
			g.join.total++
		case leaves:
			g.left.total++
		}
	}
	return nil
}

type joining int

const (
	joinsNone joining = iota
	joinsOnly         // a group of another leader
	leaves            // the group that it leads, after others have joined that group
)

func (tr *tree) joins(n *node) joining {
	switch {
	case n.group == 0 || n.group == n.pid || n.group == tr.groupNow(n) && !tr.groups.joined[n.pid]:
		return joinsNone
	case tr.groups.joined[n.pid]:
		return leaves
	}
	return joinsOnly
}

// groupNow is the process group of a node when it makes children, except the early ones.
func (tr *tree) groupNow(n *node) image.Pid {
	if g, ok := tr.groups.now[n]; ok && n != tr.root {
		return g
	}
	g := image.Pid(0)
	switch {
	case n.leads() || n == tr.root && tr.ownGroup:
		g = n.pid
	case n.maker == nil:
	case n.before:
		g = tr.groupBefore(n.maker)
	default:
		g = tr.groupNow(n.maker)
	}
	tr.groups.now[n] = g
	return g
}

// groupBefore is the process group of a leader of a session when it makes its early children.
func (tr *tree) groupBefore(n *node) image.Pid {
	switch {
	case n.maker == nil:
		return 0
	case n.before:
		return tr.groupBefore(n.maker)
	}
	return tr.groupNow(n.maker)
}

// enterGroup puts a process into its process group.
func (tr *tree) enterGroup(n *node) {
	g, zero := &tr.groups, program.Const(0)
	leads := n.pid != 0 && (n.group == n.pid || g.joined[n.pid])
	if leads && tr.groupNow(n) != n.pid {
		n.b.Call(unix.SYS_SETPGID, zero, zero)
	}
	if g.joined[n.pid] {
		g.led.arrive(n.b, "its process group can be joined")
	}
	switch tr.joins(n) {
	case joinsOnly:
		g.led.await(n.b, "its process group exists")
		n.b.Call(unix.SYS_SETPGID, zero, program.Const(n.group))
		g.join.arrive(n.b, "")
	case leaves:
		g.led.await(n.b, "its process group exists")
		g.join.await(n.b, "others have joined the group that it leaves")
		n.b.Call(unix.SYS_SETPGID, zero, program.Const(n.group))
		g.left.arrive(n.b, "")
	}
}
