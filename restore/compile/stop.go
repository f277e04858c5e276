package compile

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

// goOn has a thread group leader report that its process is ready, and wait for the go.
//
// A process that was stopped stops again in the interpreter. It stops before its parent sets its signal actions (see awaitStopped), so
// the parent gets no SIGCHLD for it. If the parent is outside the group, the process stops when the interpreter has ended. Until
// then the interpreter is its parent, and its end would continue the process: the kernel sends SIGHUP and SIGCONT to an orphaned
// process group with a stopped member.
//
// When all processes are ready, crak traces the stopped ones. They stay stopped, and their threads run until they return from the
// resident's handler (internal/tracer). So such a process executes nothing of the program before it is continued, and nothing of
// the interpreter is left in it. The others go when the kernel has stopped it, so they never see it run.
//
// A stopped process does not notice the end of crak. So the end of its parent kills it (PR_SET_PDEATHSIG). If its parent is a member,
// that is true only until the parent is ready, because later the parent's end may be the program's. From then on the parent
// continues it if the restart fails (Program.Stopped), and then it notices the end of crak.
func (c *compiler) goOn(t *image.Thread) {
	stops, early := c.process.StoppedBy != 0, c.node.parent != nil && c.node.parent.kind == aMember
	if stops && early {
		c.tree.zombiesEnded.await(c.b, "every zombie has ended")
	}
	endsWithParent := func(signal unix.Signal) {
		prctl(c.b, program.Const(unix.PR_SET_PDEATHSIG), program.Const(int(signal)), program.Const(0), program.Const(0), program.Const(0))
	}
	if stops {
		endsWithParent(unix.SIGKILL)
	}
	c.report(StageReady, "nothing can fail any more")
	if stops && early {
		c.stop()
	}
	if stops {
		c.wait("crak traces it, and the interpreter has ended")
	}
	if stops && !early {
		c.stop()
	}
	if stops && early {
		endsWithParent(0)
	}
	if stops {
		c.report(StageStops, "stopped")
	}
	if stops {
		c.b.Await(c.set.Decision, program.StoppedGo).Note("go")
	} else {
		c.b.Await(c.set.Decision, program.AllGo).Note("go")
	}
	if stops && !early {
		endsWithParent(0)
	}
	c.undo()
	if !isDead(t) {
		c.deathSignal(c.b, t)
	}
	c.armTimers()
}

// stop stops the process. If the parent has not waited for the stop yet, wait(2) must report the signal that had stopped it. A
// signal such as SIGTSTP does not stop the members of an orphaned process group. So SIGSTOP follows: it changes nothing if the
// process is stopped already.
func (c *compiler) stop() {
	signal, self := c.process.StoppedBy, program.Const(c.process.Pid)
	if !c.process.StopTold && signal != int(unix.SIGSTOP) {
		only := c.set.Struct(uint64(1) << (signal - 1))
		mask := func(how int) {
			c.b.Call(unix.SYS_RT_SIGPROCMASK, program.Const(how), only, program.Const(0), program.Const(sigsetSize))
		}
		c.b.Call(unix.SYS_RT_SIGACTION, program.Const(signal), action(c.b, sigDefault), program.Const(0), program.Const(sigsetSize))
		c.b.Call(unix.SYS_KILL, self, program.Const(signal))
		mask(1) // SIG_UNBLOCK
		mask(0) // SIG_BLOCK
		c.action(signal)
		c.queue(func(info image.SignalInfo) bool { return int(info.Signal()) == signal })
	}
	c.b.Call(unix.SYS_KILL, self, program.Const(int(unix.SIGSTOP))).Note("stopped")
}
