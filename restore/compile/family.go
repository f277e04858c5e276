package compile

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/restore/program"
)

// makeCounters makes the counters of a tree. Preconditions: every node has a maker.
func (tr *tree) makeCounters(s *program.Set) {
	s.Decision = s.Variable(make([]byte, 4))
	all := tr.nodes
	if tr.top != tr.root {
		all = append([]*node{tr.top}, all...)
	}
	for _, n := range all {
		if len(tr.orphanMakers(n)) > 0 {
			tr.orphans.total++
		}
		if n.kind == aMember && tr.asks(n.member) {
			tr.asked.total++
		}
		if n.deadLeader() {
			n.leaderExited = s.Variable(make([]byte, 4))
		}
		if len(n.childrenOf(aZombie)) > 0 {
			n.canWait = s.Variable(make([]byte, 4))
			tr.zombiesEnded.total++
		}
	}
	for _, at := range []*barrier{&tr.groups.led, &tr.groups.join, &tr.groups.left, &tr.orphans, &tr.zombiesEnded, &tr.exist, &tr.asked, &tr.terminals.front} {
		at.make(s)
	}
}

// orphanMakers returns those helpers of a node that make orphans.
func (tr *tree) orphanMakers(n *node) (all []*node) {
	for _, child := range n.childrenOf(aHelper) {
		if len(child.late) > 0 && !child.leads() && !child.late[0].sibling && child.late[0].parent != child {
			all = append(all, child)
		}
	}
	return all
}

// begin brings a process into its session and makes its children. The children inherit the session and the staging area.
// A helper that ends leaves no trace in its parent, because all processes ignore SIGCHLD for now: the kernel reaps the
// helper, sends no signal, and does not add its CPU time to that of the parent's children.
func (tr *tree) begin(n *node) {
	if n == tr.root && tr.ownGroup {
		n.b.Call(unix.SYS_SETPGID, program.Const(0), program.Const(0))
	}
	for _, child := range n.early {
		tr.fork(n, child)
	}
	if n.leads() {
		n.b.Call(unix.SYS_SETSID).Want(uint64(n.pid))
		tr.takeTerminal(n)
	}
	if n.adopts {
		prctl(n.b, program.Const(unix.PR_SET_CHILD_SUBREAPER), program.Const(1)).Note("for orphans")
	}
	for _, child := range n.late {
		tr.fork(n, child)
	}
}

func (tr *tree) fork(n, child *node) {
	flags, signal := uint64(0), child.exitSignal
	if child.sibling {
		flags, signal = unix.CLONE_PARENT, 0
	}
	n.b.Process(child.b.Number, int(child.pid), flags, signal).Note(child.note())
	if child.pid == 0 {
		child.chosen = n.b.Keep()
	}
}

func (n *node) note() string {
	switch {
	case n.kind == aHelper && n.leads():
		return "leads a session, and ends"
	case n.kind == aHelper && n.pid == n.group:
		return "leads a process group, and ends"
	case n.kind == aHelper:
		return "makes an orphan, and ends"
	}
	if n.maker == n.parent || n.maker.kind == theInterpreter {
		return n.comm
	}
	if n.parent.kind == theInterpreter {
		return n.comm + ", its parent is outside"
	}
	return fmt.Sprintf("%s, its parent is pid %d", n.comm, n.parent.pid)
}

// settle puts a process into its process group, and waits until its helpers have ended.
func (tr *tree) settle(n *node) {
	tr.enterGroup(n)
	if tr.inFront(n) {
		tr.terminals.front.arrive(n.b, "")
	}
	if n.kind == aHelper && n.pid == n.group {
		tr.groups.join.await(n.b, "others have joined its group")
		tr.groups.left.await(n.b, "others have joined its group")
	}
	for _, h := range n.childrenOf(aHelper) {
		pid := program.Const(h.pid)
		if h.pid == 0 {
			pid = h.chosen.Arg()
		}
		n.b.Call(unix.SYS_WAITID, program.Const(unix.P_PID), pid, program.Const(0), program.Const(unix.WEXITED|unix.WALL),
			program.Const(0)).Any().Note("until the helper has ended")
	}
	if len(tr.orphanMakers(n)) > 0 {
		tr.orphans.arrive(n.b, "its orphans have their parent")
	}
}

// collect waits until a process's zombies have ended, and drops the signals that these caused. Preconditions: the process has not
// set its signal actions, and no pending signal of its own.
func (tr *tree) collect(n *node) {
	zombies := n.childrenOf(aZombie)
	if len(zombies) > 0 {
		n.b.Call(unix.SYS_RT_SIGACTION, program.Const(unix.SIGCHLD), action(n.b, sigDefault), program.Const(0), program.Const(sigsetSize)).
			Note("children that end wait for it")
		n.b.Arrive(n.canWait, 1)
		for _, z := range zombies {
			n.b.Call(unix.SYS_WAITID, program.Const(unix.P_PID), program.Const(z.pid), program.Const(0),
				program.Const(unix.WEXITED|unix.WNOWAIT|unix.WALL), program.Const(0)).Note("until the zombie has ended")
		}
		for _, s := range exitSignals(zombies) {
			n.b.Call(unix.SYS_RT_SIGACTION, program.Const(s), action(n.b, sigIgnore), program.Const(0), program.Const(sigsetSize)).
				Note("drops the signal of the zombie")
		}
		tr.zombiesEnded.arrive(n.b, "")
	}
}

// awaitStopped waits until a process's stopped children have stopped. Preconditions: as of collect.
func (tr *tree) awaitStopped(n *node) {
	var stopped []int32
	for _, child := range n.childrenOf(aMember) {
		p := child.member.process
		if p.StoppedBy == 0 {
			continue
		}
		options := unix.WSTOPPED | unix.WALL
		if !p.StopTold {
			options |= unix.WNOWAIT
		}
		n.b.Call(unix.SYS_WAITID, program.Const(unix.P_PID), program.Const(child.pid), program.Const(0), program.Const(options),
			program.Const(0)).Note("until the child has stopped")
		stopped = append(stopped, int32(child.pid))
	}
	if len(stopped) > 0 {
		n.b.Program.Stopped, n.b.Program.StoppedCount = n.b.Set.Struct(stopped), len(stopped)
	}
}

// changed tells whether the action for a signal is not the default before a process sets its own.
func (tr *tree) changed(n *node, signal int) bool {
	return signal == int(unix.SIGCHLD) || slices.Contains(exitSignals(n.childrenOf(aZombie)), signal)
}

const (
	sigDefault = 0
	sigIgnore  = 1
)

func action(b *program.Builder, handler uint64) program.Arg {
	return b.Set.Struct(kernelAction{Handler: handler})
}

// exitSignals returns the exit signals of nodes, and always SIGCHLD: without a handler for it, no child that stops causes one.
func exitSignals(all []*node) []int {
	signals := []int{int(unix.SIGCHLD)}
	seen := map[int]bool{0: true, int(unix.SIGCHLD): true}
	for _, n := range all {
		if !seen[n.exitSignal] {
			seen[n.exitSignal] = true
			signals = append(signals, n.exitSignal)
		}
	}
	return signals
}

// end writes the end of a zombie. Its core file, if it wrote one, is not written again.
func (tr *tree) end(n *node) {
	z := n.zombie
	prctl(n.b, program.Const(unix.PR_SET_NAME), n.b.Set.String(z.Comm))
	if uid := program.Const(z.UID); z.UID != tr.root.member.target.Credentials.UID[0] {
		n.b.Call(unix.SYS_SETRESUID, uid, uid, uid).MayFail()
	}
	n.b.Await(n.parent.canWait, 1).Note("its parent waits for it")
	tr.die(n.b, program.Const(z.Pid), z.Status)
}

// die ends a process with a wait status. Preconditions: it has the actions that all processes begin with.
func (tr *tree) die(b *program.Builder, pid program.Arg, wait uint32) {
	status := unix.WaitStatus(wait)
	if !status.Signaled() {
		b.Call(unix.SYS_EXIT_GROUP, program.Const(status.ExitStatus()&0xff))
		return
	}
	signal := program.Const(int(status.Signal()))
	c := tr.root.member
	none := min(1, c.target.HardLimits[unix.RLIMIT_CORE]) // 1: a program of core_pattern gets none either (core(5))
	b.Call(unix.SYS_PRLIMIT64, program.Const(0), program.Const(unix.RLIMIT_CORE), c.set.Struct(unix.Rlimit{Cur: none, Max: none}),
		program.Const(0)).Note("no core file")
	b.Call(unix.SYS_RT_SIGACTION, signal, action(b, sigDefault), program.Const(0), program.Const(sigsetSize)).Any()
	b.Call(unix.SYS_KILL, pid, signal)
	b.Call(unix.SYS_RT_SIGPROCMASK, program.Const(2 /* SIG_SETMASK */), b.Set.Struct(uint64(0)), program.Const(0), program.Const(sigsetSize))
	b.Call(unix.SYS_EXIT_GROUP, program.Const(127))
}

// deadLeader tells whether the thread that makes a node's children ends before the group runs.
func (n *node) deadLeader() bool {
	return n != nil && n.kind == aMember && isDead(&n.member.process.Threads[0])
}
