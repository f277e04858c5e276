package compile

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// goOn has a thread group leader report that its process is ready, and wait for the go.
//
// A process that was stopped stops again by SIGSTOP, in the interpreter: it executes nothing of the program before it is
// continued. It stops before its parent sets its signal actions (see collect), so the parent gets no SIGCHLD for it. A child of
// a process outside the group stops after the go: before that the death of the interpreter, its parent for now, would
// continue it (an orphaned process group with a stopped member gets SIGHUP and SIGCONT). wait(2) reports SIGSTOP, whichever signal
// it was.
func (c *compiler) goOn(t *image.Thread) {
	stopped, early := c.process.StoppedBy != 0, c.node.parent != nil && c.node.parent.kind == aMember
	if stopped && early {
		c.tree.burials.await(c.b, "every zombie has ended")
	}
	c.report(StageReady, "nothing can fail any more")
	if stopped && early {
		c.armTimers()
		c.stop()
	}
	c.wait("go")
	if !isDead(t) {
		c.deathSignal(c.b, t)
	}
	if !stopped || !early {
		c.armTimers()
	}
	if stopped && !early {
		c.stop()
	}
	if stopped {
		control := program.Const(c.process.Control)
		c.b.Call(unix.SYS_CLOSE_RANGE, control, control, program.Const(0)).Note("crak does not wait for it")
	}
}

func (c *compiler) stop() {
	c.b.Call(unix.SYS_KILL, program.Const(c.process.Pid), program.Const(int(unix.SIGSTOP))).Note("stopped")
}
