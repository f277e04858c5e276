package restore

import (
	"fmt"
	"time"
)

// commit does what cannot be undone. Preconditions: all members are ready. Until now SIGINT and similar signals end the restart.
// From now on crak passes them on to the program.
func (c *coordinator) commit() error {
	g := c.group
	if err := c.checkZombies(); err != nil {
		return err
	}
	if err := g.fillDeferred(); err != nil {
		return err
	}
	if err := g.objects.seal(g.img.Group); err != nil {
		return err
	}
	if err := g.sysv.commit(g.img.Group); err != nil {
		return err
	}
	if err := g.adopt(g.root(), g.front()); err != nil {
		return err
	}
	if err := g.env.Commit(); err != nil {
		return err
	}
	for _, m := range g.members {
		g.reclaimMutexes(m)
	}
	if g.mode.Apart {
		c.family.release()
		c.releaseInterpreter()
		return nil
	}
	return c.interpreterEnded() // not earlier: the interpreter is the parent of orphans, and its end would cause their parent-death signals
}

// releaseInterpreter lets the interpreter exit, if the root is its child. The root's parent is then init or a subreaper, and the end of crak
// causes no parent-death signal.
func (c *coordinator) releaseInterpreter() {
	c.group.interpreter.arrive(c.group.programs.Leave)
	c.group.interpreter.wait()
	c.gone = true
}

// interpreterEnded reaps the interpreter. It exits when it has made the root.
func (c *coordinator) interpreterEnded() error {
	if c.gone {
		return nil
	}
	status, err := c.group.interpreter.wait()
	c.gone = true
	if err == nil && status.Exited() && status.ExitStatus() == 0 {
		return nil
	}
	if why := c.reason(); why != nil {
		return why
	}
	return fmt.Errorf("interpreter: %s", ending(status))
}

// kill kills every process of the restart, and reaps those that are crak's children.
func (c *coordinator) kill() {
	c.stop()
	// Fills write to processes by their PIDs, so no process may be reaped before they end.
	reap := within(killTimeout, c.fills.Wait)
	for _, m := range c.traced() {
		m.tracer.Kill() // otherwise untrace would wait until its threads leave the interpreter
	}
	c.untrace()
	if !reap { // crak waits for a file system that does not answer
		c.group.gaveUp = true
	}
	c.family.kill(reap)
}

// close closes the descriptors and reaps the interpreter.
func (c *coordinator) close() {
	c.stop()
	if c.group.interpreter != nil && !c.gone {
		within(killTimeout, func() { c.group.interpreter.wait() })
	}
	c.family.release()
	c.events.close()
}

// killTimeout is how long crak waits for the ends of processes that it has killed. Only a test changes it.
var killTimeout = 5 * time.Second
