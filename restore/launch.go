package restore

import (
	"fmt"

	"crak.dev/crak/restore/compile"
)

// launch starts the interpreter and gives it its programs.
func (g *group) launch() error {
	var err error
	if g.interpreter, err = startInterpreter(g.descriptors, rootOf(g.img.Group), g.shift, g.mode.First); err != nil {
		return err
	}
	g.at("interpreter")
	g.descriptors.close()
	g.target.Control = g.interpreter.number
	describeMachine(g.target, g.interpreter.mappings, &g.interpreter.status, g.shift.now)
	return g.runPrograms()
}

// runPrograms compiles the programs and has the interpreter run them.
func (g *group) runPrograms() error {
	processes := make([]*compile.Process, len(g.members))
	for i, m := range g.members {
		if err := g.adoptVDSO(m); err != nil {
			return fmt.Errorf("pid %d: %w", m.process.Pid, err)
		}
		processes[i] = m.process
	}
	var err error
	if g.programs, err = compile.Programs(g.target, processes); err != nil {
		return err
	}
	if g.alter != nil {
		g.alter(g.programs.Set)
	}
	return g.interpreter.run(g.programs.Set, g.img.Group)
}
