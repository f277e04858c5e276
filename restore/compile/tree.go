package compile

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// A node is a process of the restart.
type node struct {
	kind     kind
	pid      image.Pid    // 0: the kernel chooses
	chosen   program.Slot // has the PID that the kernel chose
	parent   *node        // after the restart; nil: no process of the restart. The interpreter stands for every process outside the group
	children []*node
	comm     string

	session    image.Pid // 0: crak's
	group      image.Pid // 0: crak's
	exitSignal int

	member *compiler     // of a member
	zombie *image.Zombie // of a zombie

	b        *program.Builder
	maker    *node
	sibling  bool    // its maker gives it the maker's own parent (CLONE_PARENT)
	before   bool    // it is made before its maker begins a session
	early    []*node // made before this node begins a session
	late     []*node // made after that
	last     []*node // made after the memory is filled, which they inherit
	adopts   bool    // it must be a subreaper before helpers end
	adopting bool    // a subreaper of the image

	canWait      program.Arg // counter: 1 once the node can wait for its zombies
	leaderExited program.Arg // counter: 1 once a dead thread group leader has exited
}

type kind int

const (
	theInterpreter kind = iota
	aMember
	aZombie
	aHelper // ends before any member runs
)

// A tree is the processes of a restart. It decides which process makes which. family.go and groups.go write the instructions.
//
// The kernel has no call to choose a parent, a session or a process group freely: a process inherits all three from its
// maker. It can only begin a session, and choose a process group within its session. So a process is made in its session:
//
//   - by its parent, before or after the parent begins a session itself;
//   - else by the leader of the session as its sibling (CLONE_PARENT), if the leader has the same parent;
//   - else by a helper, a child of the leader. The helper ends, and the process goes to the next subreaper.
//
// A helper with the PID of a leader that has ended stands for that leader. It ends when its sessions and groups have members.
type tree struct {
	top          *node // makes the first process: the interpreter, or the root if it is process 1
	root         *node
	ownGroup     bool    // the root begins a process group
	nodes        []*node // without the interpreter
	byPid        map[image.Pid]*node
	leaders      map[image.Pid]*node // of sessions
	born         map[*node]image.Pid // sessions in which leaders of sessions are made; anySession: it does not matter
	groups       groups
	terminals    terminals
	orphans      barrier            // nodes that reap the helpers that have made orphans
	taken        map[image.Pid]bool // numbers of threads
	unused       image.Pid          // every number below it is taken
	zombiesEnded barrier            // nodes whose zombies have ended
	exist        barrier            // members that have all their threads, and zombies
	asked        barrier            // members that have asked for what another member may cause when it runs (fd.Asks)
	holders      map[image.DescriptionID]*compiler
	others       map[image.DescriptionID][]*compiler // members of other users than crak's that have a description with an owner of its I/O signals
	needs        map[image.DescriptionID]int         // how many members must have a description which a member makes
	descriptions map[image.DescriptionID]*image.Description
	inside       map[image.DescriptionID]bool // only the group can make these ready
	unheld       []*image.Description         // no member has these: they are in queues
	rank         map[image.DescriptionID]int  // in the order of fd.Order
}

const anySession image.Pid = -1

// newTree returns the nodes of a group. Their makers are not set yet.
func newTree(t *Target, members []*compiler) (*tree, error) {
	tr := &tree{byPid: make(map[image.Pid]*node), leaders: make(map[image.Pid]*node), born: make(map[*node]image.Pid)}
	g := t.Group
	for _, c := range members {
		p := c.process
		n := &node{kind: aMember, pid: p.Pid, comm: p.Threads[0].Comm, session: p.Session, group: p.ProcessGroup,
			exitSignal: p.ExitSignal, member: c, b: c.b, adopting: p.Attributes.ChildSubreaper}
		c.node = n
		tr.add(n)
	}
	for i := range g.Zombies {
		z := &g.Zombies[i]
		if tr.byPid[z.Pid] != nil {
			return nil, fmt.Errorf("zombie %d: a process has this number", z.Pid)
		}
		if parent := tr.byPid[z.Parent]; parent == nil || parent.kind != aMember {
			return nil, fmt.Errorf("zombie %d: parent %d: not one of the processes", z.Pid, z.Parent)
		}
		tr.add(&node{kind: aZombie, pid: z.Pid, comm: z.Comm, session: z.Session, group: z.ProcessGroup, exitSignal: z.ExitSignal, zombie: z})
	}
	if tr.root = tr.byPid[g.Root]; tr.root == nil || tr.root.kind != aMember {
		return nil, fmt.Errorf("root: %d: not one of the processes", g.Root)
	}
	tr.root.exitSignal = int(unix.SIGCHLD) // images of format 1 do not have an exit signal
	tr.top = tr.root
	tr.root.adopting = tr.root.adopting || t.Mode.First
	if !t.Mode.First {
		tr.top = &node{kind: theInterpreter}
	}
	tr.setParents(members, g)
	if err := tr.descend(); err != nil {
		return nil, err
	}
	tr.setRootGroup(t.Mode.Group)
	tr.findTerminals(g)
	return tr, tr.place(t.Mode.Apart)
}

func (tr *tree) add(n *node) {
	tr.nodes = append(tr.nodes, n)
	tr.byPid[n.pid] = n
}

func (tr *tree) setParents(members []*compiler, g *image.Group) {
	parents := make(map[image.Pid]image.Pid)
	for _, c := range members {
		parents[c.process.Pid] = c.process.Parent
	}
	for _, z := range g.Zombies {
		parents[z.Pid] = z.Parent
	}
	for _, n := range tr.nodes {
		n.parent = tr.byPid[parents[n.pid]]
		if n.parent == nil || n == tr.root {
			n.parent = tr.top
		}
		if n != tr.top {
			n.parent.children = append(n.parent.children, n)
		}
	}
	if tr.top == tr.root {
		tr.root.parent = nil
	}
}

// descend makes sure that every process descends from the first one: that none is its own ancestor.
func (tr *tree) descend() error {
	descends := map[*node]bool{tr.top: true}
	for queue := []*node{tr.top}; len(queue) > 0; queue = queue[1:] {
		if queue[0].kind == aZombie {
			continue
		}
		for _, n := range queue[0].children {
			descends[n] = true
			queue = append(queue, n)
		}
	}
	for _, n := range tr.nodes {
		if !descends[n] {
			return fmt.Errorf("pid %d: parent %d: not a process that can have children", n.pid, n.parent.number())
		}
	}
	return nil
}

func (n *node) number() image.Pid {
	if n == nil {
		return 0
	}
	return n.pid
}

// setRootGroup replaces the root's session and process group by those that the root has after this restart. In the image they may
// be those of the shell that started the group.
func (tr *tree) setRootGroup(choice GroupChoice) {
	session, group := tr.root.session, tr.root.group
	tr.ownGroup = choice == OwnGroup
	homeSession, homeGroup := image.Pid(0), image.Pid(0)
	if choice == OwnSession {
		homeSession = tr.root.pid
	}
	if choice != InheritGroup {
		homeGroup = tr.root.pid
	}
	leads := tr.byPid[group] != nil && group != tr.root.pid
	outside := make(map[image.Pid]bool) // sessions from before the root began its own
	for _, n := range tr.nodes {
		if n.parent == tr.root && session == tr.root.pid && tr.byPid[n.session] == nil && !tr.root.adopting {
			outside[n.session] = true
		}
	}
	for _, n := range tr.nodes {
		switch {
		case n.session == session:
			n.session = homeSession
		case outside[n.session]:
			n.session = 0
		}
		if n.group == group && !leads {
			n.group = homeGroup
		}
	}
}

// leads tells whether a node begins a session.
func (n *node) leads() bool { return n.pid != 0 && n.session == n.pid }

// name is a node's name in messages.
func (n *node) name() string {
	switch n.kind {
	case aZombie:
		return fmt.Sprintf("zombie %d", n.pid)
	case aHelper:
		if n.pid == 0 {
			return "helper"
		}
		return fmt.Sprintf("helper %d", n.pid)
	}
	return fmt.Sprintf("pid %d", n.pid)
}

// childrenOf returns the children of one kind, sorted by PID.
func (n *node) childrenOf(k kind) (all []*node) {
	for _, child := range n.children {
		if child.kind == k {
			all = append(all, child)
		}
	}
	slices.SortStableFunc(all, func(a, b *node) int { return int(a.pid - b.pid) })
	return all
}

// above tells whether a node is another one, or an ancestor of it.
func (n *node) above(other *node) bool {
	for ; other != nil; other = other.parent {
		if other == n {
			return true
		}
	}
	return false
}
