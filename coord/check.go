package coord

import (
	"errors"
	"fmt"
	"path/filepath"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// A Report is the result of Check.
type Report struct {
	Obstacles obstacle.List
	Notices   []string     // facts that are no obstacles
	Outcomes  []fd.Outcome // what becomes of each descriptor, if Options.Explain is set
	Images    string       // the directory of the program's images, which need not exist; "" if its resident has not answered
}

// Check collects the obstacles to a checkpoint of a process and its descendants. It does not stop them. The error means that the
// process could not be inspected. Of the options it uses Pid, Rights, Only, Skip, Overrides and Explain.
func Check(o Options) (*Report, error) {
	c := newCheckpoint(o)
	pid, before := o.Pid, o.Rights.programBefore(o.Pid)
	report := new(Report)
	err := c.bounded(func() error {
		defer c.close()
		return c.check(func(text string) { report.Notices = append(report.Notices, text) })
	})
	if changed := changedSince(pid, before, err); changed != nil {
		return nil, changed
	}
	if program, inside, nameErr := c.name(); nameErr == nil && c.settings != nil {
		report.Images = filepath.Join(c.directory(), image.DirName(program, inside))
	}
	report.Notices = append(report.Notices, c.notices()...)
	report.Outcomes = c.outcomes
	if list, ok := errors.AsType[obstacle.List](err); ok {
		report.Obstacles, err = list, nil
	}
	return report, c.explained(err)
}

// explainDescriptors notes what becomes of the descriptors of all members. Preconditions: the table has the results of a survey.
func (c *checkpoint) explainDescriptors() {
	c.outcomes = nil
	for _, m := range c.members {
		numbers, _ := proc.Fds(m.live)
		c.outcomes = append(c.outcomes, c.table.Surveyed(m.pid, numbers, m.dump.Descriptors())...)
	}
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
