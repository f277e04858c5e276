package compile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// place copies the descriptors to their numbers. It comes before the process has threads: with threads, each growth of its table
// of descriptors takes milliseconds.
func (c *compiler) place() {
	// The kernel refuses numbers above the soft limit, which is crak's.
	nofile := c.target.HardLimits[unix.RLIMIT_NOFILE]
	c.b.Call(unix.SYS_PRLIMIT64, program.Const(0), program.Const(unix.RLIMIT_NOFILE),
		c.set.Struct(unix.Rlimit{Cur: nofile, Max: nofile}), program.Const(0))
	received := make(map[image.DescriptionID]bool)
	for _, batch := range c.target.Batches[c.process.Pid] {
		for _, id := range batch {
			received[id] = true
		}
	}
	for _, d := range c.process.Descriptors {
		from := program.Const(c.target.Control)
		if !received[d.Description] {
			from = c.placed(d.Description)
		}
		c.copyTo(from, d)
		c.numbers[d.Description] = append(c.numbers[d.Description], d)
	}
	c.receive()
}

func (c *compiler) copyTo(from program.Arg, to image.Descriptor) {
	c.b.Call(unix.SYS_DUP3, from, program.Const(to.Fd), program.Const(fd.CloseOnExec(to))).Want(uint64(to.Fd))
}

// table restores what only the process itself can set, and closes all descriptors that the process has not placed, except the
// control socket. POSIX locks come last: a process loses them when it closes any descriptor of the file.
func (c *compiler) table() {
	c.tree.setForeground(c.node)
	c.attach()
	keep := []int{c.target.Control}
	for _, d := range c.process.Descriptors {
		keep = append(keep, d.Fd)
	}
	c.tree.leaveTerminal(c.node)
	if c == c.tree.root.member {
		c.locksInFlight()
	}
	c.closeOthers(keep)
	for _, d := range c.descriptions() {
		c.locks(d)
	}
}

// descriptions returns the descriptions that a process has, by ID.
func (c *compiler) descriptions() (all []*image.Description) {
	for _, id := range slices.Sorted(maps.Keys(c.numbers)) {
		all = append(all, c.tree.descriptions[id])
	}
	return all
}

// attach has the kinds of the descriptions append what only the process can do, in the order of the references.
func (c *compiler) attach() {
	all := c.descriptions()
	if c == c.tree.root.member {
		all = append(all, c.tree.unheld...)
	}
	for id := range c.needs {
		if c.numbers[id] == nil && !(c == c.tree.root.member && c.tree.holders[id] == nil) {
			all = append(all, c.tree.descriptions[id])
		}
	}
	slices.SortFunc(all, func(a, b *image.Description) int { return c.tree.rank[a.ID] - c.tree.rank[b.ID] })
	numbers := make(map[int]image.Descriptor)
	for _, d := range c.process.Descriptors {
		numbers[d.Fd] = d
	}
	for _, d := range all {
		if !fd.Attaches(*d) {
			continue
		}
		a := &fd.Attach{Builder: c.b, Member: c.process.Process, Descriptors: c.numbers[d.ID], Numbers: numbers,
			Placed: c.placed, Inside: func(id image.DescriptionID) bool { return c.tree.inside[id] }, Exist: c.awaitAll, Ended: c.ended,
			AtGo: func(do func()) { c.going = append(c.going, do) }}
		if fd.Asks(*d) == c.process.Pid {
			a.AtGo = func(do func()) { c.asking = append(c.asking, do) }
		}
		a.First = c.tree.holders[d.ID] == c || c.tree.holders[d.ID] == nil && c == c.tree.root.member
		a.Others = max(0, c.tree.needs[d.ID]-1)
		if err := a.Attach(*d); err != nil {
			c.fail(err)
		}
	}
}

// awaitAll waits until all processes and threads of the group exist, and all zombies have ended.
func (c *compiler) awaitAll() {
	if !c.awaited {
		c.tree.exist.await(c.b, "all processes and threads exist")
		c.tree.zombiesEnded.await(c.b, "every zombie has ended")
		c.awaited = true
	}
}

// ended makes a process that ends with a wait status, and for which this one waits. do appends what comes before the end; its
// argument is the PID. No process of the group can lose its number to that process: all of them exist.
func (c *compiler) ended(status uint32, do func(pid program.Arg)) {
	c.awaitAll()
	end := c.set.Variable(make([]byte, 4))
	h := c.set.Build("helper")
	h.Await(end, 1)
	pid := h.Call(unix.SYS_GETPID).Keep().Arg()
	c.tree.die(h, pid, status)
	pid = c.b.Process(h.Number, 0, 0, 0).Note("ends").Keep().Arg()
	do(pid)
	c.b.Arrive(end, 1)
	c.b.Call(unix.SYS_WAITID, program.Const(unix.P_PID), pid, program.Const(0), program.Const(unix.WEXITED|unix.WALL), program.Const(0))
}

func (c *compiler) placed(id image.DescriptionID) program.Arg {
	n, ok := c.target.Descriptions[id]
	if !ok {
		c.fail(fmt.Errorf("description %d: none was made", id))
	}
	return program.Const(n)
}

func (c *compiler) closeOthers(keep []int) {
	slices.Sort(keep)
	next := 0
	for _, fd := range keep {
		if fd > next {
			c.b.Call(unix.SYS_CLOSE_RANGE, program.Const(next), program.Const(fd-1), program.Const(0))
		}
		next = fd + 1
	}
	c.b.Call(unix.SYS_CLOSE_RANGE, program.Const(next), program.Const(uint32(1<<32-1)), program.Const(0))
}

// ownerEx is struct f_owner_ex (fcntl(2)).
type ownerEx struct{ Type, Pid int32 }

// owners restores the owner and the signal of the descriptions. The owner can be any process, thread or process group of the
// group. The kernel sends a signal with the rights of the user who has set the owner. So the owners that another user than crak's has set
// are set later, when the process has this user's rights.
func (c *compiler) owners(asUser bool) {
	for _, d := range c.descriptions() {
		if !isOwned(d) {
			continue
		}
		if who, later := c.tree.setsOwner(d); who == c && later == asUser {
			c.awaitAll()
			c.owned(d, c.numbers[d.ID][0].Fd)
		}
	}
}

// setsOwner returns the member that sets the owner of a description, and whether it does so with the rights of its user. Members of other users
// than crak's come first: if it is not known who has set the owner, it was the one with the fewest rights.
func (tr *tree) setsOwner(d *image.Description) (who *compiler, asUser bool) {
	mine := tr.root.member.target.Credentials.UID[1]
	first := tr.holders[d.ID]
	var by *uint32
	if d.Owner != nil {
		by = d.Owner.UID
	}
	if first == nil || first.user() == mine && by != nil && *by == mine {
		return first, false
	}
	others := tr.others[d.ID]
	if len(others) == 0 {
		return first, false
	}
	if i := slices.IndexFunc(others, func(c *compiler) bool { return by != nil && c.user() == *by }); i >= 0 {
		return others[i], true
	}
	return others[0], true
}

func (c *compiler) user() uint32 { return c.process.Threads[0].Credentials.UID[1] }

func isOwned(d *image.Description) bool { return d.Owner != nil || d.Flags&unix.O_ASYNC != 0 }

func (c *compiler) owned(d *image.Description, fd int) {
	if o := d.Owner; o != nil {
		if o.Pid != 0 {
			c.b.Call(unix.SYS_FCNTL, program.Const(fd), program.Const(unix.F_SETOWN_EX), c.set.Struct(ownerEx{int32(o.Type), int32(o.Pid)})).
				MayFail() // the owner may be outside the group, and may have ended
		}
		if o.Signal != 0 {
			c.b.Call(unix.SYS_FCNTL, program.Const(fd), program.Const(unix.F_SETSIG), program.Const(o.Signal))
		}
	}
	if d.Flags&unix.O_ASYNC != 0 {
		c.b.Call(unix.SYS_FCNTL, program.Const(fd), program.Const(unix.F_SETFL), program.Const(d.Flags)).Note("O_ASYNC")
	}
}

// findHolders finds the member that sets what belongs to a description: the first one that has it. It finds out which descriptions
// no member has, and in which order they are attached.
func (tr *tree) findHolders(g *image.Group) {
	tr.holders, tr.descriptions = make(map[image.DescriptionID]*compiler), make(map[image.DescriptionID]*image.Description)
	tr.others = make(map[image.DescriptionID][]*compiler)
	tr.inside = fd.Inside(g)
	for i := range g.Descriptions {
		tr.descriptions[g.Descriptions[i].ID] = &g.Descriptions[i]
	}
	for _, n := range tr.nodes {
		if n.kind != aMember {
			continue
		}
		for _, d := range n.member.process.Descriptors {
			if tr.holders[d.Description] == nil {
				tr.holders[d.Description] = n.member
			}
			if n.member.user() != tr.root.member.target.Credentials.UID[1] && isOwned(tr.descriptions[d.Description]) {
				tr.others[d.Description] = append(tr.others[d.Description], n.member)
			}
		}
	}
	tr.rank = make(map[image.DescriptionID]int)
	for i, d := range fd.Order(g) {
		tr.rank[d.ID] = i
		if tr.holders[d.ID] == nil {
			tr.unheld = append(tr.unheld, tr.descriptions[d.ID])
		}
	}
	if slices.ContainsFunc(g.Descriptions, func(d image.Description) bool { return isOwned(&d) || fd.ByMember(d) }) {
		tr.exist.total = len(g.Processes) + len(g.Zombies)
	}
	tr.findNeeds(g)
}

// findNeeds finds who must have a description which a member makes: the members that have it, those that attach a description that refers to
// it, and crak if it is in the queue of a socket. If no member has it, the root makes it.
func (tr *tree) findNeeds(g *image.Group) {
	tr.needs = make(map[image.DescriptionID]int)
	need := func(id image.DescriptionID, c *compiler) {
		if d := tr.descriptions[id]; d == nil || !fd.ByMember(*d) || c.needs[id] {
			return
		}
		if c.needs == nil {
			c.needs = make(map[image.DescriptionID]bool)
		}
		c.needs[id] = true
		tr.needs[id]++
	}
	for _, n := range tr.nodes {
		if n.kind == aMember {
			for _, d := range n.member.process.Descriptors {
				need(d.Description, n.member)
			}
		}
	}
	for _, d := range g.Descriptions {
		for _, id := range fd.Refers(d).Descriptions {
			need(id, cmp.Or(tr.holders[d.ID], tr.root.member))
		}
	}
	queued := make(map[image.DescriptionID]bool)
	for _, o := range g.Objects {
		for _, id := range fd.RefersObject(o).Descriptions {
			if d := tr.descriptions[id]; d == nil || !fd.ByMember(*d) || queued[id] {
				continue
			}
			queued[id] = true
			if tr.holders[id] == nil {
				need(id, tr.root.member)
			}
			tr.needs[id]++ // crak
		}
	}
}
