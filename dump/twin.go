package dump

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// Twin finds the member's twin and opens its memory. inside is the PID that the resident has sent, in the member's PID
// namespace. The resident may lie, so Twin checks that the process is a fork of the frozen member. since is a time before
// the freeze, in ticks since boot.
func (m *Member) Twin(inside int, since uint64) (int, *Memory, error) {
	pid, err := m.twinOutside(inside)
	if err != nil {
		return 0, nil, m.fail(err)
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return 0, nil, m.fail(fmt.Errorf("its twin, process %d: %w", pid, err))
	}
	defer unix.Close(process)
	if err := m.isTwin(pid, since); err != nil {
		return 0, nil, m.fail(fmt.Errorf("process %d is not its twin: %w", pid, err))
	}
	memory, err := m.Memory(pid)
	if err != nil {
		return 0, nil, err
	}
	// The checks are repeated after the memory was opened. So the memory is that of the same process, and the process has
	// not executed another program, which would have changed its exit signal.
	err = m.hasMappings(pid)
	if err == nil {
		err = m.isTwin(pid, since)
	}
	if err == nil {
		err = unix.PidfdSendSignal(process, 0, nil, 0)
	}
	if err != nil {
		return 0, nil, m.fail(fmt.Errorf("process %d is not its twin: %w", pid, err))
	}
	return pid, memory, nil
}

// twinOutside is the PID of the twin in the writer's PID namespace.
func (m *Member) twinOutside(inside int) (int, error) {
	if len(m.status.NSpid) <= 1 {
		return inside, nil
	}
	pids, err := proc.Pids()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		s, err := proc.Read(pid, "status", proc.Status)
		if err == nil && s.PPid == m.Pid && len(s.NSpid) == len(m.status.NSpid) && s.NSpid[len(s.NSpid)-1] == inside {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("its twin, process %d in its PID namespace, is not in /proc", inside)
}

// isTwin checks attributes that only a child has that the resident has forked: parent, exit signal, start time and IDs.
func (m *Member) isTwin(pid int, since uint64) error {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil {
		return err
	}
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil {
		return err
	}
	switch {
	case status.Tgid != pid || stat.PPid != m.Pid:
		return fmt.Errorf("its parent is process %d", stat.PPid)
	case stat.ExitSignal != abi.FreezeSignal:
		return fmt.Errorf("its exit signal is %d", stat.ExitSignal)
	case stat.StartTime < since:
		return fmt.Errorf("it was started before the checkpoint")
	case status.Uid != m.status.Uid || status.Gid != m.status.Gid:
		return fmt.Errorf("it belongs to user %d", status.Uid[1])
	}
	return nil
}

// hasMappings checks that a process has the member's mappings, except those that a fork leaves out.
func (m *Member) hasMappings(pid int) error {
	maps, err := proc.Read(pid, "maps", proc.Maps)
	if err != nil {
		return err
	}
	own := slices.DeleteFunc(slices.Clone(m.entries), func(e proc.SmapsEntry) bool { return e.Has("dc") })
	if m.quick && len(maps) != len(own) {
		return nil // the flags may be out of date; Confirm checks them
	}
	if len(maps) != len(own) {
		return fmt.Errorf("it has %d mappings, not %d", len(maps), len(own))
	}
	for i, mapping := range maps {
		if mapping.End != own[i].End || mapping.Start != own[i].Start && !own[i].Has("gd") {
			return fmt.Errorf("it has no mapping %x-%x", own[i].Start, own[i].End)
		}
	}
	return nil
}
