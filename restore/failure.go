package restore

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/restore/program"
)

// failure turns the report of a failed instruction into an error.
func (c *conductor) failure(r program.Report) error {
	err := errors.New(c.explain(r))
	if in := c.instruction(r); in != nil && r.Result == -int64(unix.EEXIST) && (in.Op == program.Process || in.Op == program.Thread) {
		return takenError{err}
	}
	return err
}

// instruction returns the instruction that a report names, or nil.
func (c *conductor) instruction(r program.Report) *program.Instruction {
	if r.Program >= uint32(len(c.group.programs.Set.Programs)) || r.Instruction >= uint32(len(c.group.programs.Set.Programs[r.Program].Instructions)) {
		return nil
	}
	return &c.group.programs.Set.Programs[r.Program].Instructions[r.Instruction]
}

// explain says in words which instruction had an unexpected result.
func (c *conductor) explain(r program.Report) string {
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

// died says how a member ended. Its socket is closed. The interpreter's socket may still have the reason.
func (c *conductor) died() error {
	if c.group.mode.Apart { // the interpreter may be waiting for our byte
		unix.Shutdown(int(c.group.interpreter.control.Fd()), unix.SHUT_WR)
	}
	for end := c.ends[interpreterEnd]; end.Fd >= 0; {
		m, ok := receive(int(end.Fd))
		if !ok {
			break
		}
		if m.report.Kind == program.Failed {
			return c.failure(m.report)
		}
	}
	if c.group.mode.Apart {
		return fmt.Errorf("pid %d: ended while it was restored", c.pid)
	}
	if status, err := wait(c.seen); err == nil {
		if status.Signaled() {
			return fmt.Errorf("pid %d: killed by %s while it was restored", c.pid, unix.SignalName(status.Signal()))
		}
		return fmt.Errorf("pid %d: exit status %d while it was restored", c.pid, status.ExitStatus())
	}
	status, _ := c.group.interpreter.wait()
	c.gone = true
	if status.Signaled() {
		return fmt.Errorf("interpreter: killed by %s", unix.SignalName(status.Signal()))
	}
	return fmt.Errorf("interpreter: exit status %d", status.ExitStatus())
}
