package coord

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// A blockedWait is a blocked call that waits for children: wait4(2), waitid(2) or sigsuspend(2).
type blockedWait struct {
	kind, id int // as for waitid(2): P_ALL, P_PID, P_PGID, P_PIDFD
	own      int // process group of the caller
}

// waits finds the threads of a process that wait for children, by TID. The call of a running thread is in /proc. The call of a
// parked thread is in its signal frame.
func (m *member) waits() map[int]blockedWait {
	all := make(map[int]blockedWait)
	stat, err := proc.Read(m.pid, "stat", proc.Stat)
	if err != nil {
		return nil
	}
	if m.conn != nil && m.dump != nil {
		for i := range m.dump.Threads {
			t := &m.dump.Threads[i]
			if number, first, second, ok := callOf(m.live, t); ok && m.isWait(number) {
				all[int(t.Tid)] = waitOf(number, first, second, stat.Pgrp)
			}
		}
		return all
	}
	tids, _ := proc.Tasks(m.pid)
	for _, tid := range tids {
		s, err := proc.Read(m.pid, fmt.Sprintf("task/%d/syscall", tid), proc.Syscall)
		if err != nil || s.Running {
			continue
		}
		if m.isWait(s.Number) {
			all[tid] = waitOf(s.Number, s.Args[0], s.Args[1], stat.Pgrp)
		}
	}
	return all
}

// isWait tells whether a blocked call waits for children. A shell such as dash waits for any child by sigsuspend(2) and SIGCHLD.
func (m *member) isWait(number int) bool {
	switch number {
	case unix.SYS_WAIT4, unix.SYS_WAITID:
		return true
	case unix.SYS_RT_SIGSUSPEND:
		status, err := proc.Read(m.live, "status", proc.Status)
		return err == nil && status.SigCgt&(1<<(unix.SIGCHLD-1)) != 0
	}
	return false
}

// waitOf is the wait of a call. own is the process group of the caller.
func waitOf(number int, first, second uint64, own int) blockedWait {
	pid := int(int32(first))
	switch {
	case number == unix.SYS_WAITID:
		return blockedWait{pid, int(int32(second)), own}
	case number == unix.SYS_RT_SIGSUSPEND || pid == -1:
		return blockedWait{unix.P_ALL, 0, own}
	case pid > 0:
		return blockedWait{unix.P_PID, pid, own}
	}
	return blockedWait{unix.P_PGID, -pid, own}
}

// matchesAny returns a child that may end the wait, or nil.

func (w blockedWait) matchesAny(children []proc.StatInfo) *proc.StatInfo {
	for i := range children {
		child := &children[i]
		status, err := proc.Read(child.Pid, "status", proc.Status)
		if err != nil {
			continue
		}
		switch {
		case w.kind == unix.P_PID && w.id != insidePid(status):
		case w.kind == unix.P_PGID && w.id == 0 && w.own != child.Pgrp:
		case w.kind == unix.P_PGID && w.id != 0 && w.id != proc.Innermost(status.NSpgid, child.Pgrp):
		default:
			return child
		}
	}
	return nil
}

// isCrak tells whether a child of a member is a reaper, a twin or a writer.
func isCrak(s *proc.StatInfo) bool {
	return s.ExitSignal == abi.ExitSignal || s.Pid == os.Getpid() || s.State == 'X'
}
