package coord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"crak.dev/crak/dump"
	"crak.dev/crak/internal/obstacle"
)

// Check collects the obstacles to a checkpoint of a process. It does not stop the process. It calls notice for facts that are
// no obstacles. The error means that the process could not be inspected. r is Options.Rights.
func Check(pid int, r *Rights, notice func(string)) (obstacle.List, error) {
	before := r.programBefore(pid)
	list, err := check(pid, r, notice)
	if changed := changedSince(pid, before, cmp.Or(err, list.Err())); changed != nil {
		return nil, changed
	}
	return list, explainPermission(pid, r, err)
}

func check(pid int, r *Rights, notice func(string)) (obstacle.List, error) {
	list, err := candidate(pid)
	if err != nil || len(list) > 0 {
		return list, err
	}
	c := &checkpoint{Options: Options{Pid: pid, Rights: r, Context: context.Background()}}
	if err := c.query(); err != nil {
		return nil, err
	}
	c.listener.Close()
	if _, err := c.compress(); err != nil {
		return nil, err
	}
	if err := c.planTwin(); err != nil {
		return nil, err
	}
	if c.noTwin != "" {
		notice(fmt.Sprintf("a checkpoint freezes it until its memory is written: %s", c.noTwin))
	}
	if text := c.triggerNotice(); text != "" {
		notice(text)
	}
	_, err = dump.Survey(pid, c.member.live, c.Overrides, &c.table)
	if errors.Is(err, os.ErrPermission) && !c.member.dumpable {
		return nil, fmt.Errorf("pid %d: it is not dumpable (prctl(2), PR_SET_DUMPABLE): its files in /proc can only be read during a checkpoint", pid)
	}
	return c.table.Obstacles, err
}
