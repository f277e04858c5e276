package coord

import (
	"errors"
	"fmt"

	"crak.dev/crak/internal/obstacle"
)

// Check collects the obstacles to a checkpoint of a process and its descendants. It does not stop them. It calls notice for facts
// that are no obstacles. The error means that the process could not be inspected. r is Options.Rights.
func Check(pid int, r *Rights, notice func(string)) (obstacle.List, error) {
	c := newCheckpoint(Options{Pid: pid, Rights: r})
	defer c.close()
	before := r.programBefore(pid)
	err := c.check(notice)
	if changed := changedSince(pid, before, err); changed != nil {
		return nil, changed
	}
	if list, ok := errors.AsType[obstacle.List](err); ok {
		return list, nil
	}
	return nil, c.explained(err)
}

func (c *checkpoint) check(notice func(string)) error {
	if err := c.find(); err != nil {
		return err
	}
	if err := c.queryAll(); err != nil {
		return err
	}
	if _, err := c.compress(); err != nil {
		return err
	}
	if err := c.planTwin(); err != nil {
		return err
	}
	if c.noTwin != "" {
		notice(fmt.Sprintf("a checkpoint freezes it until its memory is written: %s", c.noTwin))
	}
	if text := c.root().triggerNotice(); text != "" {
		notice(text)
	}
	if err := c.survey(); err != nil {
		return err
	}
	for _, m := range c.members {
		if m.hidden {
			return fmt.Errorf("pid %d: it is not dumpable (prctl(2), PR_SET_DUMPABLE): its files in /proc can only be read during a checkpoint", m.pid)
		}
	}
	return nil
}
