package dump

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

const shmReadOnly = 0o10000 // SHM_RDONLY

// planRests finds segments of System V of which no member maps a part, for example after munmap(2) of that part. shmat(2) would show it to
// the program again. So an initiator attaches the whole segment while it is saved. A segment that it cannot attach is refused.
func planRests(members []*Member, processes []*image.Process) error {
	mapped := make(map[image.MemoryID][]image.Run)
	first := make(map[image.MemoryID]*Member)
	for i, p := range processes {
		for _, v := range p.Mappings {
			if v.Memory == 0 {
				continue
			}
			if first[v.Memory] == nil {
				first[v.Memory] = members[i]
			}
			mapped[v.Memory] = append(mapped[v.Memory], image.Run{Start: v.Offset, Length: uint64(v.End - v.Start)})
		}
	}
	table := members[0].Table
	for i, o := range table.Memory {
		id := image.MemoryID(i + 1)
		m := first[id]
		if o.Kind != image.MemorySysV || m == nil {
			continue
		}
		left := notMapped(mapped[id], image.PageAlign(o.Size))
		if len(left) == 0 {
			continue
		}
		// Both calls in one message: if the writer is killed, the segment does not stay attached.
		results, err := m.Conn.Calls([]abi.Call{m.attachCall(id), {Number: unix.SYS_SHMDT, Relative: abi.Result(0)}}, nil)
		if err != nil {
			return m.fail(err)
		}
		if results[0] < 0 {
			table.Obstacles = append(table.Obstacles, obstacle.Obstacle{Pid: m.Pid, What: fmt.Sprintf("SysV shared memory %d", o.SysV.ID),
				Why: fmt.Sprintf("the program has unmapped a part of it, at byte %d, and cannot attach it again: %v", left[0].Start, unix.Errno(-results[0])),
				Do:  "let a process of the program attach the whole segment during the checkpoint (shmat(2))"})
			continue
		}
		m.plan.rests = append(m.plan.rests, id)
	}
	return nil
}

// notMapped returns the parts of an object that none of the runs covers.
func notMapped(runs []image.Run, size uint64) []image.Run {
	slices.SortFunc(runs, func(a, b image.Run) int { return cmp.Compare(a.Start, b.Start) })
	left := []image.Run{{Length: size}}
	for _, r := range runs {
		left = image.Subtract(left, []image.Run{r})
	}
	return left
}

func (m *Member) attachCall(id image.MemoryID) abi.Call {
	return abi.Call{Number: unix.SYS_SHMAT, Args: [6]uint64{uint64(m.Table.Memory[id-1].SysV.ID), 0, shmReadOnly}}
}

// attachRests attaches the segments of planRests. A detach function is to be called when they are saved.
func (m *Member) attachRests() (all []part, detach func(), err error) {
	detach = func() {
		for _, p := range all {
			m.Conn.Calls([]abi.Call{{Number: unix.SYS_SHMDT, Args: [6]uint64{p.entry.Start}}}, nil) // fails only if the process has been killed
		}
	}
	for _, id := range m.plan.rests {
		results, err := m.Conn.Calls([]abi.Call{m.attachCall(id)}, nil)
		if err == nil && results[0] < 0 {
			err = fmt.Errorf("SysV shared memory %d: shmat: %w", m.Table.Memory[id-1].SysV.ID, unix.Errno(-results[0]))
		}
		if err != nil {
			detach()
			return nil, nil, m.fail(err)
		}
		start := uint64(results[0])
		p := part{member: m, object: id, entry: proc.SmapsEntry{Mapping: proc.Mapping{Start: start, End: start + image.PageAlign(m.Table.Memory[id-1].Size), Shared: true}}}
		if swapping() {
			p.entry.Swap = 1 // mincore(2) does not report pages that are swapped out
		}
		all = append(all, p)
	}
	return all, detach, nil
}
