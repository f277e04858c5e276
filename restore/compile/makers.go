package compile

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// place decides who makes each process.
func (tr *tree) place(apart bool) error {
	tr.findLeaders()
	tr.findGroups()
	for _, n := range slices.Clone(tr.nodes) { // helpers are added
		if n == tr.top || n.maker != nil {
			continue
		}
		if n.kind == aHelper && n.leads() {
			continue // the first process of the session that is placed decides
		}
		if err := tr.placeOne(n, apart); err != nil {
			return err
		}
	}
	if err := tr.checkMakers(); err != nil {
		return err
	}
	tr.inherit()
	return tr.join()
}

// findLeaders finds the leader of each session. If the leader has ended, a helper takes its place.
func (tr *tree) findLeaders() {
	sessions := make(map[image.Pid]bool)
	for _, n := range tr.nodes {
		sessions[n.session] = true
	}
	delete(sessions, 0)
	for _, s := range slices.Sorted(maps.Keys(sessions)) {
		n := tr.byPid[s]
		if n == nil {
			n = tr.help(s, s, s)
		}
		if n.leads() {
			tr.leaders[s] = n
		}
	}
}

// help adds a helper.
func (tr *tree) help(pid, session, group image.Pid) *node {
	n := &node{kind: aHelper, pid: pid, session: session, group: group, exitSignal: int(unix.SIGCHLD)}
	tr.nodes = append(tr.nodes, n)
	if pid != 0 {
		tr.byPid[pid] = n
	}
	return n
}

// makeHelper makes a node the parent and the maker of a helper.
func (n *node) makeHelper(h *node) {
	h.parent, h.maker = n, n
	n.late, n.children = append(n.late, h), append(n.children, h)
}

// sessionAtBirth is the session in which a process must be made. It is anySession for a process that begins a session itself,
// unless the process has made children before that.
func (tr *tree) sessionAtBirth(n *node) image.Pid {
	if n.kind == theInterpreter || !n.leads() {
		return n.session
	}
	if s, ok := tr.born[n]; ok {
		return s
	}
	tr.born[n] = anySession
	for _, child := range n.children {
		if s := tr.sessionAtBirth(child); s != anySession && s != n.session && tr.wasIn(n, s) {
			tr.born[n] = s
			break
		}
	}
	return tr.born[n]
}

// wasIn tells whether a leader of a session can have been in another session before. If the leader is a subreaper, its children in
// another session may be orphans that it has got. Then the leader was in its parent's session, or its earlier session does not
// matter.
func (tr *tree) wasIn(n *node, session image.Pid) bool {
	if leader := tr.leaders[session]; leader != nil && n.above(leader) {
		return false
	}
	return !n.adopting || n.parent != nil && n.parent.session == session
}

func (tr *tree) placeOne(n *node, apart bool) error {
	parent, session := n.parent, tr.sessionAtBirth(n)
	switch {
	case n == tr.root && tr.top != tr.root, session == anySession, session == parent.session:
		n.maker, n.sibling = parent, n == tr.root && !apart
		parent.late = append(parent.late, n)
		return nil
	case parent.leads() && tr.sessionAtBirth(parent) == session:
		n.maker, n.before = parent, true
		parent.early = append(parent.early, n)
		return nil
	}
	leader := tr.leaders[session]
	if leader == nil {
		return fmt.Errorf("%s: its parent is in session %d, and the process is in session %d: no fork makes this", n.name(), parent.session, session)
	}
	if leader.kind == aHelper && leader.maker == nil {
		parent.makeHelper(leader)
	}
	if leader.parent == parent && leader.exitSignal == n.exitSignal {
		n.maker, n.sibling = leader, true
		leader.late = append(leader.late, n)
		return nil
	}
	tr.placeOrphan(n, leader)
	return nil
}

// placeOrphan has a helper, a child of the leader of the session, make a process.
func (tr *tree) placeOrphan(n, leader *node) {
	h := tr.help(tr.spare(), n.session, 0)
	leader.makeHelper(h)
	n.maker = h
	h.late = append(h.late, n)
	if n.parent != tr.top {
		n.parent.adopts = true
	}
}

// spare is a PID for a helper: 0 lets the kernel choose. If the root is process 1 of a new PID namespace, the kernel would choose
// low PIDs, which other processes of the group may need. There spare returns a PID that the group does not need.
func (tr *tree) spare() image.Pid {
	if tr.top.kind == theInterpreter {
		return 0
	}
	if tr.taken == nil {
		tr.taken, tr.unused = tr.tids(), 2
	}
	for tr.taken[tr.unused] || tr.byPid[tr.unused] != nil {
		tr.unused++
	}
	return tr.unused
}

// tids returns the TIDs of all threads.
func (tr *tree) tids() map[image.Pid]bool {
	all := make(map[image.Pid]bool)
	for _, n := range tr.nodes {
		if n.kind == aMember {
			for _, t := range n.member.process.Threads {
				all[image.Pid(t.Parked.Tid)] = true
			}
		}
	}
	return all
}

// checkMakers makes sure that every process is made, and that the kernel gives orphans to the right subreaper: the next one
// above the helper that ends.
func (tr *tree) checkMakers() error {
	made := make(map[*node]bool)
	queue := []*node{tr.top}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		made[n] = true
		queue = append(append(queue, n.early...), n.late...)
	}
	tids := tr.tids()
	for _, n := range tr.nodes {
		if n.kind != aMember && tids[n.pid] {
			return fmt.Errorf("%s: a thread has this number", n.name())
		}
		if !made[n] {
			return fmt.Errorf("%s: parent %d, session %d: no sequence of fork and setsid makes this", n.name(), n.parent.number(), n.session)
		}
		if n.sibling || n.maker == nil || n.maker == n.parent {
			continue
		}
		next := n.maker.parent
		for next != tr.top && !next.adopts {
			next = next.parent
		}
		if next != n.parent {
			return fmt.Errorf("%s: its parent %d is not the next subreaper of session %d", n.name(), n.parent.number(), n.session)
		}
	}
	return nil
}
