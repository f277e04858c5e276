package coord

import (
	"cmp"
	"fmt"

	"crak.dev/crak/dump"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/network"
)

// capture records the frozen members.
func (c *checkpoint) capture() ([]*image.Process, error) {
	processes, err := dump.Capture(c.dumps())
	if err != nil {
		return nil, err
	}
	if c.sysv, err = dump.CaptureSysV(c.dumps(), c.zombies); err != nil {
		return nil, err
	}
	c.table.Obstacles = append(c.table.Obstacles, c.sysv.Obstacles...)
	for _, m := range c.members {
		if err := m.hasRights(); err != nil {
			return nil, err
		}
	}
	c.moveSessions(processes)
	c.xfeatures, c.xsaveSize = extendedState(c.root().live, processes[0])
	return processes, cmp.Or(c.table.Obstacles.Err())
}

// dumps are the readers of all members.
func (c *checkpoint) dumps() []*dump.Member {
	all := make([]*dump.Member, len(c.members))
	for i, m := range c.members {
		all[i] = m.dump
	}
	return all
}

// commit completes the image, and returns its path.
func (c *checkpoint) commit(processes []*image.Process) (path string, err error) {
	for _, m := range c.members {
		if err := m.as(func() error { return m.dump.SumCommon(c.Kill) }); err != nil {
			return "", err
		}
	}
	manifest, err := c.manifest(processes)
	if err != nil {
		return "", err
	}
	record, err := c.record(processes)
	if err != nil {
		return "", err
	}
	return c.writer.Commit(*manifest, record)
}

// record is what the image says of the group, except for page contents.
func (c *checkpoint) record(processes []*image.Process) (*image.Group, error) {
	private, link, err := network.IsPrivate()
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	c.link = link
	var settings *image.NetworkSettings
	if private {
		if settings, err = network.Settings(); err != nil {
			return nil, err
		}
	}
	g := &image.Group{
		Root:         processes[0].Pid,
		Descriptions: c.table.Descriptions,
		Memory:       c.table.Memory,
		Objects:      c.table.Objects,
		Zombies:      c.zombies,
		Semaphores:   c.sysv.Semaphores,
		Queues:       c.sysv.Queues,

		PrivateNetwork:  private,
		PrivateLink:     link,
		PrivateSettings: settings,
	}
	for _, p := range processes {
		g.Processes = append(g.Processes, *p)
	}
	return g, nil
}
