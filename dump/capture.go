package dump

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// Capture records the frozen members of a group, which share a table. It reads the members in parallel. Then it records the
// descriptors of all members, and then one member after the other refers to the table. It adds obstacles to the table. It
// returns an error if a member cannot be read.
func Capture(members []*Member) ([]*image.Process, error) {
	for _, m := range members {
		m.views = workers() / len(members)
	}
	if err := inParallel(len(members), func(i int) error { return members[i].Read() }); err != nil {
		return nil, err
	}
	if err := captureDescriptors(members); err != nil {
		return nil, err
	}
	for _, m := range members {
		if err := m.refuseTyped(); err != nil {
			return nil, m.fail(err)
		}
	}
	processes := make([]*image.Process, len(members))
	all := newFiles()
	defer all.close()
	for i, m := range members {
		var err error
		if processes[i], err = m.finish(all, members[0]); err != nil {
			return nil, err
		}
	}
	correctSeals(members[0].Table.Memory, processes)
	if err := planRests(members, processes); err != nil {
		return nil, err
	}
	refuseOnlyRead(members)
	return processes, nil
}

// correctSeals corrects the seals that were found by mappings. With F_SEAL_WRITE, no shared mapping is writable. If one is, it was made before
// F_SEAL_FUTURE_WRITE.
func correctSeals(objects []image.MemoryObject, processes []*image.Process) {
	for _, p := range processes {
		for i := range p.Mappings {
			m := &p.Mappings[i]
			if m.Memory == 0 || !m.Shared || !m.Writable {
				continue
			}
			if o := &objects[m.Memory-1]; o.Seals&unix.F_SEAL_WRITE != 0 {
				o.Seals ^= unix.F_SEAL_WRITE | unix.F_SEAL_FUTURE_WRITE
			}
		}
	}
}

// captureDescriptors records the descriptors of members that have been looked at.
func captureDescriptors(members []*Member) error {
	if len(members) == 0 {
		return nil
	}
	all := make([]*fd.Descriptors, len(members))
	for i, m := range members {
		all[i], m.descriptors = m.descriptors, nil
	}
	descriptors, err := fd.CaptureGroup(all, members[0].Table)
	if err != nil {
		return err
	}
	for i, m := range members {
		m.process.Descriptors = descriptors[i]
	}
	return nil
}
