package compile

import (
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/restore/program"
)

const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD |
	unix.CLONE_SYSVSEM | unix.CLONE_SETTLS

// threads makes the other threads. A thread runs its program at once. The function leader ends the program of the thread group
// leader.
//
//	leader: make all → descriptors → own state → await all → limits, timers, IDs → ready, go → arm timers → release → jump
//	thread:            own state → IDs → arrive                                                → await release → jump
//
// All calls that can fail come before the leader reports that the process is ready. After crak tells it to go, nothing can
// fail. IDs and capabilities come after the calls that need privilege: the leader makes the threads, with their TIDs, before it
// changes its own IDs. A thread group leader that had exited before the checkpoint exits again before the initiator
// continues, because the initiator unmaps the interpreter.
func (c *compiler) threads() {
	all := c.process.Threads
	others := len(all) - 1
	leaderDead := isDead(&all[0])
	for i := range all[1:] {
		t := &all[i+1]
		if isDead(t) {
			c.fail(fmt.Errorf("thread %d: dead, and not the thread group leader", t.Parked.Tid))
			return
		}
	}
	for i := range all[1:] {
		t := &all[i+1]
		b := c.set.Build(fmt.Sprintf("thread %d", t.Parked.Tid))
		flags := uint64(threadFlags)
		if t.Parked.TidAddress != 0 {
			flags |= unix.CLONE_CHILD_CLEARTID
		}
		c.b.Thread(b.Number, int(t.Parked.Tid), flags, t.Parked.FsBase, t.Parked.TidAddress).Note(t.Comm)
		c.threadState(b, t)
		c.become(b, &t.Credentials)
		b.Arrive(c.arrived, others)
		b.Await(c.released, 1).Note("every process is ready")
		c.deathSignal(b, t)
		if leaderDead && t.Parked.Flags&abi.ThreadInitiator != 0 {
			b.Await(c.gone, 0).Note("the thread group leader has exited")
			b.Arrive(c.node.leaderExited, 1)
		}
		b.Jump(t.Parked.Context, c.restart)
	}
}

// leader ends the program of the thread group leader.
func (c *compiler) leader() {
	t, others := &c.process.Threads[0], len(c.process.Threads)-1
	dead := isDead(t)
	if !dead {
		c.b.Call(unix.SYS_ARCH_PRCTL, program.Const(archSetFS), program.Const(t.Parked.FsBase))
		c.b.Call(unix.SYS_SET_TID_ADDRESS, program.Const(t.Parked.TidAddress)).Want(uint64(t.Parked.Tid))
		c.threadState(c.b, t)
	}
	c.b.Await(c.arrived, others).Note("every thread is ready")
	c.owners(false)
	c.lockFuture()
	c.limits()
	c.createTimers()
	if dead {
		prctl(c.b, program.Const(unix.PR_SET_NAME), c.set.String(t.Comm))
		c.become(c.b, &t.Credentials)
		c.b.Call(unix.SYS_SET_TID_ADDRESS, c.gone).Want(uint64(t.Parked.Tid)).Note("cleared by the exit")
	} else {
		c.become(c.b, &t.Credentials)
	}
	c.owners(true)
	c.goOn(t)
	c.b.Arrive(c.released, 1)
	if dead {
		c.b.Call(unix.SYS_EXIT, program.Const(0))
		return
	}
	c.b.Jump(t.Parked.Context, c.restart)
}

// threadState restores what a thread must set for itself. rt_sigreturn restores the alternate stack.
func (c *compiler) threadState(b *program.Builder, t *image.Thread) {
	p := &t.Parked
	self := program.Const(0)
	if p.GsBase != 0 {
		b.Call(unix.SYS_ARCH_PRCTL, program.Const(archSetGS), program.Const(p.GsBase))
	}
	if p.RobustList != 0 {
		b.Call(unix.SYS_SET_ROBUST_LIST, program.Const(p.RobustList), program.Const(p.RobustLength))
	}
	if p.Rseq != 0 {
		b.Call(unix.SYS_RSEQ, program.Const(p.Rseq), program.Const(p.RseqLength), program.Const(0), program.Const(p.RseqSignature))
	}
	b.Call(unix.SYS_PRCTL, program.Const(unix.PR_SET_NAME), c.set.String(t.Comm))
	b.Call(unix.SYS_PRCTL, program.Const(unix.PR_SET_TIMERSLACK), program.Const(p.TimerSlack))
	if p.Policy != 0 {
		b.Call(unix.SYS_SET_MEMPOLICY, program.Const(p.Policy), c.set.Struct(p.Nodes), program.Const(64*len(p.Nodes))).MayFail()
	}
	c.schedule(b, t.Schedule)
	c.speculation(b, t.Speculation)
	if len(t.Affinity) > 0 {
		b.Call(unix.SYS_SCHED_SETAFFINITY, self, program.Const(8*len(t.Affinity)), c.set.Struct(t.Affinity)).MayFail()
	}
	if t.IOPriority != 0 {
		b.Call(unix.SYS_IOPRIO_SET, program.Const(1 /* IOPRIO_WHO_PROCESS */), self, program.Const(t.IOPriority)).MayFail()
	}
	for _, info := range t.Pending {
		if !c.queued(info) {
			continue
		}
		b.Call(unix.SYS_RT_TGSIGQUEUEINFO, program.Const(c.process.Pid), program.Const(p.Tid),
			program.Const(info.Signal()), c.set.Bytes(info)).Note("pending")
	}
}

func isDead(t *image.Thread) bool { return t.Parked.Flags&abi.ThreadDead != 0 }

// deathSignal restores PR_SET_PDEATHSIG. It comes when the process has its final parent, and its final IDs: the kernel clears
// the signal when IDs change.
func (c *compiler) deathSignal(b *program.Builder, t *image.Thread) {
	if t.Parked.DeathSignal != 0 {
		if c.node.parent.deadLeader() {
			b.Await(c.node.parent.leaderExited, 1).Note("its parent's thread group leader has exited")
		}
		b.Call(unix.SYS_PRCTL, program.Const(unix.PR_SET_PDEATHSIG), program.Const(t.Parked.DeathSignal)).MayFail()
	}
}
