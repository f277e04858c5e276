package dump

import (
	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// Capture records the frozen members of a group, which share a table. It reads the members in parallel. Then it records the
// descriptors of all members, and then one member after the other refers to the table. It adds obstacles to the table. It
// returns an error if a member cannot be read.
func Capture(members []*Member) ([]*image.Process, error) {
	if err := inParallel(len(members), func(i int) error { return members[i].Read() }); err != nil {
		return nil, err
	}
	if err := captureDescriptors(members); err != nil {
		return nil, err
	}
	processes := make([]*image.Process, len(members))
	for i, m := range members {
		var err error
		if processes[i], err = m.Finish(); err != nil {
			return nil, err
		}
	}
	return processes, nil
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
