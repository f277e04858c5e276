package dump

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// A Twin is the twin of a member: a fork of it.
type Twin struct {
	Pid    int // in the writer's PID namespace
	inside int // PID in the member's PID namespace
	start  uint64
}

// Open returns a pidfd of the twin. The error is ESRCH if the twin has ended and was reaped.
func (t *Twin) Open() (int, error) {
	process, err := unix.PidfdOpen(t.Pid, 0)
	if err != nil {
		return -1, err
	}
	if stat, err := proc.Read(t.Pid, "stat", proc.Stat); err != nil || stat.StartTime != t.start {
		unix.Close(process)
		return -1, unix.ESRCH
	}
	return process, nil
}

// Kill kills the twin. The program does not reap it before it gets an order to.
func (t *Twin) Kill() error {
	process, err := t.Open()
	if err == nil {
		err = unix.PidfdSendSignal(process, unix.SIGKILL, nil, 0)
		unix.Close(process)
	}
	if err == unix.ESRCH {
		return nil
	}
	return err
}

// Reap has a thread of the member wait for the twin, which has ended.
func (t *Twin) Reap(pid, tid int) error { return resident.Reap(pid, tid, t.inside) }

// FindTwin finds the member's twin. inside is the PID that the resident has sent, in the member's PID namespace. The resident may
// lie, so FindTwin checks that the process is a child of the frozen member. since is a time before the freeze, in ticks since
// boot.
//
// Preconditions: the member is frozen. Later it may end, and then the twin has another parent.
func (m *Member) FindTwin(inside int, since uint64) (*Twin, error) {
	pid, err := m.twinOutside(inside)
	if err != nil {
		return nil, m.fail(err)
	}
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err == nil {
		err = m.isChild(&stat, since) // OpenTwin makes the other checks, when the members run again
	}
	if err != nil {
		return nil, m.fail(fmt.Errorf("process %d is not its twin: %w", pid, err))
	}
	return &Twin{Pid: pid, inside: inside, start: stat.StartTime}, nil
}

// OpenTwin opens the memory of the twin. It makes all checks anew: the writer does not keep a twin open.
func (m *Member) OpenTwin(t *Twin) (*Memory, error) {
	memory, err := m.Memory(t.Pid)
	if err != nil {
		return nil, err
	}
	// The checks come after the memory was opened. So the memory is that of the same process, and the process has not executed
	// another program, which would have changed its exit signal. The kernel changes it, too, when the member ends.
	err = cmp.Or(m.hasMappings(t.Pid), m.isStillTwin(t))
	if err != nil {
		memory.Close()
		return nil, m.fail(fmt.Errorf("process %d is not its twin: %w", t.Pid, err))
	}
	return memory, nil
}

// EndTwin ends the twin and has the frozen member reap it.
func (m *Member) EndTwin(t *Twin) error {
	if err := t.Kill(); err != nil {
		return m.fail(fmt.Errorf("its twin, process %d: %w", t.Pid, err))
	}
	var ask resident.Questions
	ask.Value(unix.SYS_WAIT4, [6]uint64{uint64(t.inside), 0, unix.WCLONE, 0}, func(int64) {}) // its handler may have been told before
	return ask.Put(m.Conn.Calls)
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
func (m *Member) isTwin(pid int, since uint64) (proc.StatInfo, error) {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	if err != nil {
		return stat, err
	}
	status, err := proc.Read(pid, "status", proc.Status)
	if err != nil {
		return stat, err
	}
	if err := m.isChild(&stat, since); err != nil {
		return stat, err
	}
	switch {
	case status.Tgid != pid:
		return stat, fmt.Errorf("it is a thread of process %d", status.Tgid)
	case status.Uid != m.status.Uid || status.Gid != m.status.Gid:
		return stat, fmt.Errorf("it belongs to user %d", status.Uid[1])
	}
	return stat, nil
}

// isChild checks the attributes that stat shows.
func (m *Member) isChild(stat *proc.StatInfo, since uint64) error {
	switch {
	case stat.PPid != m.Pid:
		return fmt.Errorf("its parent is process %d", stat.PPid)
	case stat.ExitSignal != abi.ExitSignal:
		return fmt.Errorf("its exit signal is %d", stat.ExitSignal)
	case stat.StartTime < since:
		return errors.New("it was started before the checkpoint")
	}
	return nil
}

// isStillTwin repeats the checks of isTwin when the member runs again, and may have ended.
func (m *Member) isStillTwin(t *Twin) error {
	stat, err := m.isTwin(t.Pid, t.start)
	if err != nil && stat.StartTime == t.start && stat.PPid != m.Pid {
		return nil
	}
	return err
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
