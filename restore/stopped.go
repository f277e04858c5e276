package restore

import (
	"context"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/tracer"
)

// trace traces the members that were stopped (compile/stop.go). Preconditions: all members are ready.
func (c *coordinator) trace() (err error) {
	for _, m := range c.group.members {
		if m.process.StoppedBy == 0 {
			continue
		}
		if m.tracer, err = tracer.Leaving(m.seen); err != nil {
			return obstacle.List{{Pid: int(m.pid()), What: "stopped", Why: "crak must trace a stopped process to bring it back, and may not: " + err.Error(),
				Do: "allow ptrace(2): see kernel.yama.ptrace_scope in sysctl(8), and the seccomp profile of the container"}}
		}
	}
	return nil
}

// stopped waits until all members that were stopped are stopped again. Preconditions: the interpreter has ended.
func (c *coordinator) stopped(ctx context.Context) error {
	for _, m := range c.traced() {
		if err := c.group.goOn(m); err != nil {
			return err
		}
	}
	return c.until(ctx, stageStops, len(c.traced()))
}

// stoppedGo decides that the group goes, and waits until the members that were stopped have gone. The kernel then stops them where
// the program was.
func (c *coordinator) stoppedGo(ctx context.Context) error {
	if err := c.group.interpreter.arrive(c.group.programs.Set.Decision); err != nil {
		return err
	}
	if err := c.until(ctx, stageRuns, len(c.traced())); err != nil {
		return err
	}
	c.untrace()
	return nil
}

// traced are the members that were stopped. Preconditions: trace has been called, and untrace has not.
func (c *coordinator) traced() (all []*member) {
	for _, m := range c.group.members {
		if m.tracer != nil {
			all = append(all, m)
		}
	}
	return all
}

// untrace waits until the threads of the stopped members have returned from the handler of the resident, and lets the kernel stop
// them there. If a thread does not return in time, the kernel stops it in the handler.
func (c *coordinator) untrace() {
	for _, m := range c.traced() {
		m.tracer.Close()
		m.tracer = nil
	}
}
