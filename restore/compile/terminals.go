package compile

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// terminals are the pseudo-terminals of the group that are controlling terminals of its sessions. Processes take these steps:
//
//	leader of the session: setsid → TIOCSCTTY → make children, which inherit the terminal
//	foreground group:      join the group → arrive at front
//	leader:                await front → TIOCSPGRP
type terminals struct {
	of    map[image.Pid]fd.SessionTerminal // by session
	front barrier                          // nodes of foreground process groups that have joined their group
}

// findTerminals fills in terminals. Preconditions: every node has its session and process group.
func (tr *tree) findTerminals(g *image.Group) {
	tr.terminals.of = make(map[image.Pid]fd.SessionTerminal)
	for _, t := range fd.SessionTerminals(g) {
		if n := tr.byPid[t.Session]; n != nil && n.leads() && n.kind == aMember {
			tr.terminals.of[t.Session] = t
		}
	}
	for _, n := range tr.nodes {
		if tr.inFront(n) {
			tr.terminals.front.total++
		}
	}
}

// inFront tells whether a process is in the foreground process group of its terminal.
func (tr *tree) inFront(n *node) bool {
	t, ok := tr.terminals.of[n.session]
	return ok && n.kind != aHelper && n.group != 0 && n.group == t.Foreground
}

// takeTerminal gives a new session its controlling terminal.
func (tr *tree) takeTerminal(n *node) {
	if t, ok := tr.terminals.of[n.pid]; ok {
		master := tr.root.member.target.Descriptions[t.Master]
		n.b.Call(unix.SYS_IOCTL, program.Const(master), program.Const(unix.TIOCSCTTY), program.Const(0)).Note("controlling terminal")
	}
}

// setForeground has the leader of a session set the foreground process group of the session's terminal. The leader waits until the
// processes of that group have joined it.
func (tr *tree) setForeground(n *node) {
	t, ok := tr.terminals.of[n.pid]
	if !ok || t.Foreground == 0 {
		return
	}
	for _, other := range tr.nodes {
		if other.session == n.pid && tr.inFront(other) {
			master := tr.root.member.target.Descriptions[t.Master]
			tr.terminals.front.await(n.b, "the foreground process groups exist")
			n.b.Call(unix.SYS_IOCTL, program.Const(master), program.Const(unix.TIOCSPGRP), n.b.Set.Struct(int32(t.Foreground))).
				Note("foreground process group")
			return
		}
	}
}

// leaveTerminal has a process give up the controlling terminal of its session, if it had none at the checkpoint. It has made its
// children before: they have inherited the terminal.
func (tr *tree) leaveTerminal(n *node) {
	for _, pid := range tr.terminals.of[n.session].Without {
		if pid == n.pid {
			own := n.b.Call(unix.SYS_OPEN, n.b.Set.String("/dev/tty"), program.Const(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC), program.Const(0)).
				Keep().Arg()
			n.b.Call(unix.SYS_IOCTL, own, program.Const(unix.TIOCNOTTY), program.Const(0)).Note("it has no controlling terminal")
		}
	}
}
