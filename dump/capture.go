package dump

import (
	"crak.dev/crak/image"
)

// Capture records the frozen members of a group, which share a table. It reads the members in parallel. Then it records the
// descriptors of all members, and then one member after the other refers to the table. It adds obstacles to the table. It
// returns an error if a member cannot be read.
func Capture(members []*Member) ([]*image.Process, error) {
	defer func() {
		for _, m := range members {
			m.closeDescriptors()
		}
	}()
	if err := inParallel(len(members), func(i int) error { return members[i].Read() }); err != nil {
		return nil, err
	}
	for _, m := range members {
		var err error
		if m.process.Descriptors, err = m.descriptors.Capture(m.Table); err != nil {
			return nil, m.fail(err)
		}
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

// closeDescriptors closes the handles of the descriptors, except those that the table keeps.
func (m *Member) closeDescriptors() {
	if m.descriptors != nil {
		m.descriptors.Close()
		m.descriptors = nil
	}
}
