package restore

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/restore/program"
)

// failure turns the report of a failed instruction into an error.
func (c *coordinator) failure(r program.Report) error {
	err := errors.New(c.explain(r))
	if in := c.instruction(r); in != nil && r.Result == -int64(unix.EEXIST) && (in.Op == program.Process || in.Op == program.Thread) {
		return takenError{err}
	}
	return err
}

// instruction returns the instruction that a report names, or nil.
func (c *coordinator) instruction(r program.Report) *program.Instruction {
	if r.Program >= uint32(len(c.group.programs.Set.Programs)) || r.Instruction >= uint32(len(c.group.programs.Set.Programs[r.Program].Instructions)) {
		return nil
	}
	return &c.group.programs.Set.Programs[r.Program].Instructions[r.Instruction]
}

// explain says in words which instruction had an unexpected result.
func (c *coordinator) explain(r program.Report) string {
	result := fmt.Sprintf("result %#x", r.Result)
	if r.Result < 0 && r.Result > -4096 {
		errno := unix.Errno(-r.Result)
		result = fmt.Sprintf("%s (%v)", unix.ErrnoName(errno), errno)
	}
	if r.Program == program.BootProgram {
		return fmt.Sprintf("interpreter: start, step %d: %s", r.Instruction, result)
	}
	in := c.instruction(r)
	if in == nil {
		return fmt.Sprintf("interpreter: program %d has no instruction %d", r.Program, r.Instruction)
	}
	text := c.group.programs.Set.Text(in)
	if in.Note != "" {
		text += " [" + in.Note + "]"
	}
	return fmt.Sprintf("%s: %s: %s", c.group.programs.Set.Programs[r.Program].Name, text, result)
}

// reason returns the failure that an instruction has reported, if there is one. Other processes may have ended because of it.
// Preconditions: the restart has failed.
func (c *coordinator) reason() error {
	for {
		in, ok := receive(int(c.group.interpreter.control.Fd()))
		if in.report.Kind == program.Failed {
			return c.failure(in.report)
		}
		if !ok || in == (message{}) {
			return nil
		}
	}
}

// look finds members that have ended before they ran. It is called when no message has come for a while: when a member ends, the
// others wait for it sooner or later.
func (c *coordinator) look(ctx context.Context) error {
	var ended []*member
	for _, m := range c.group.members {
		if m.stage != stageNone && m.stage < stageRuns {
			if _, _, is := m.ended(); is {
				ended = append(ended, m)
			}
		}
	}
	for some := len(ended) > 0; some; { // the last messages of those that have ended
		var err error
		if some, err = c.read(ctx); err != nil {
			return err
		}
	}
	for _, m := range ended {
		if m.stage == stageRuns {
			continue
		}
		if err := c.died(m); err != nil {
			return err
		}
	}
	return nil
}

// died handles the end of a member that does not run yet. It is a failure, unless other members run already: they may have killed it.
func (c *coordinator) died(m *member) error {
	status, known, _ := m.ended()
	if c.reached[stageRuns] > 0 && (!known || status.Signaled() && !isCrash(status.Signal())) {
		c.runs(m)
		return nil
	}
	if !known {
		return fmt.Errorf("pid %d: ended while it was restored", m.pid())
	}
	return fmt.Errorf("pid %d: %s while it was restored", m.pid(), ending(status))
}

// isCrash tells whether a signal comes from the process's own instructions.
func isCrash(s unix.Signal) bool {
	switch s {
	case unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGTRAP, unix.SIGSYS, unix.SIGABRT:
		return true
	}
	return false
}

func ending(status unix.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
