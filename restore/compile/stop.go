package compile

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// goOn has a thread group leader report that its process is ready, and wait for the go.
//
// A process that was stopped stops again by SIGSTOP, in the interpreter: it executes nothing of the program before it is
// continued. It stops before its parent sets its signal actions (see collect), so the parent gets no SIGCHLD for it. If the parent
// is outside the group, the process stops after the go. Until then the interpreter is its parent, and the end of the interpreter
// would continue it: the kernel sends SIGHUP and SIGCONT to an orphaned process group with a stopped member. wait(2) then reports
// SIGSTOP, whichever signal had stopped the process.
func (c *compiler) goOn(t *image.Thread) {
	stopped, early := c.process.StoppedBy != 0, c.node.parent != nil && c.node.parent.kind == aMember
	if stopped && early {
		c.tree.zombiesEnded.await(c.b, "every zombie has ended")
	}
	c.report(StageReady, "nothing can fail any more")
	if stopped && early {
		c.armTimers()
		c.stop()
	}
	c.wait("go")
	c.undo()
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
