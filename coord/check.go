package coord

import (
	"context"
	"errors"
	"fmt"
	"os"

	"crak.dev/crak/dump"
	"crak.dev/crak/internal/obstacle"
)

// Check tells what would keep a checkpoint of a process from working, without stopping it, and by notices what a user may
// want to know otherwise. The error is for a process that cannot be looked at. r is as in Options.
func Check(pid int, r *Rights, notice func(string)) (obstacle.List, error) {
	list, err := candidate(pid)
	if err != nil || len(list) > 0 {
		return list, err
	}
	c := &checkpoint{Options: Options{Pid: pid, Rights: r, Context: context.Background()}}
	if err := c.query(); err != nil {
		return nil, explainPermission(pid, r, err)
	}
	c.listener.Close()
	if _, err := c.compress(); err != nil {
		return nil, err
	}
	if err := c.planTwin(); err != nil {
		return nil, err
	}
	if c.noTwin != "" {
		notice(fmt.Sprintf("a checkpoint stops it until its memory is written: %s", c.noTwin))
	}
	if text := c.triggerNotice(); text != "" {
		notice(text)
	}
	_, err = dump.Survey(pid, c.member.live, c.Overrides, &c.table)
	if errors.Is(err, os.ErrPermission) && !c.member.dumpable {
		return nil, fmt.Errorf("pid %d: it is not dumpable (prctl(2), PR_SET_DUMPABLE): only a checkpoint itself can look", pid)
	}
	return c.table.Obstacles, explainPermission(pid, r, err)
}
