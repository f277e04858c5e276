package coord

import (
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// moveSessions changes the sessions and process groups of programs that other shells have started, if these shells still run: a
// restart cannot put a process into the session of another shell. Such a program gets the root's session. If the shell's process
// group was also the program's, the program gets the root's process group. If the root leads a session itself, the program gets the
// session and process group of crak restart, for which the image has 0.
//
// A session whose leader has ended is not changed: a restart makes it again. The session from which the root, or a descendant of
// the root, has come is not changed either.
func (c *checkpoint) moveSessions(processes []*image.Process) {
	parents := make(map[image.Pid]image.Pid)
	for _, p := range processes {
		parents[p.Pid] = p.Parent
	}
	root := processes[0]
	isMember := func(pid image.Pid) bool { _, ok := parents[pid]; return ok }
	session, group := root.Session, root.ProcessGroup
	if isMember(session) {
		session, group = 0, 0
	}
	for i, p := range processes {
		if descends(p.Pid, root.Pid, parents) {
			continue
		}
		stat, err := proc.Read(c.members[i].pid, "stat", proc.Stat)
		if err != nil {
			continue
		}
		if p.Session != root.Session && !isMember(p.Session) && leadsSession(stat.Session) {
			p.Session = session
		}
		if p.Session == session && !isMember(p.ProcessGroup) && !hasEnded(stat.Pgrp) {
			p.ProcessGroup = group
		}
	}
}

// leadsSession tells whether there is a live process that leads a session.
func leadsSession(pid int) bool {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	return err == nil && stat.Session == pid && !stat.HasEnded()
}

func descends(pid, root image.Pid, parents map[image.Pid]image.Pid) bool {
	for range len(parents) + 1 {
		if pid == root {
			return true
		}
		pid = parents[pid]
	}
	return false
}
