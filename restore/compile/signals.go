package compile

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/program"
)

const sigsetSize = 8 // bytes of the kernel's sigset_t

// kernelAction is the kernel's struct sigaction.
type kernelAction struct {
	Handler, Flags, Restorer, Mask uint64
}

// defaultActions sets the signal actions that all processes begin with.
func (c *compiler) defaultActions(b *program.Builder) {
	for sig := 1; sig <= 64; sig++ {
		if sig == int(unix.SIGKILL) || sig == int(unix.SIGSTOP) {
			continue
		}
		handler := uint64(sigDefault)
		if sig == int(unix.SIGCHLD) {
			handler = sigIgnore
		}
		b.Call(unix.SYS_RT_SIGACTION, program.Const(sig), c.set.Struct(kernelAction{Handler: handler}), program.Const(0), program.Const(sigsetSize))
	}
}

// signals sets all dispositions that are not the default, and queues the signals that were pending. All signals are blocked until
// the resident returns from its handler.
func (c *compiler) signals() {
	for i, a := range c.process.Actions {
		sig := i + 1
		if sig == int(unix.SIGKILL) || sig == int(unix.SIGSTOP) || a == (image.SignalAction{}) && !c.tree.changed(c.node, sig) {
			continue
		}
		c.action(sig)
	}
	c.queue(c.queued)
}

// action sets the action of a signal.
func (c *compiler) action(sig int) {
	a := c.process.Actions[sig-1]
	c.b.Call(unix.SYS_RT_SIGACTION, program.Const(sig), c.set.Struct(kernelAction{uint64(a.Handler), a.Flags, uint64(a.Restorer), a.Mask}),
		program.Const(0), program.Const(sigsetSize))
}

// queue queues those pending signals of the process that are chosen.
func (c *compiler) queue(chosen func(image.SignalInfo) bool) {
	for _, info := range c.process.Pending {
		if !chosen(info) {
			continue
		}
		c.b.Call(unix.SYS_RT_SIGQUEUEINFO, program.Const(c.process.Pid), program.Const(info.Signal()), c.set.Bytes(info)).
			Note("pending")
	}
}

// queued tells whether the process queues a pending signal itself. If not, its timer sends it again.
func (c *compiler) queued(info image.SignalInfo) bool {
	id, ok := info.Timer()
	return !ok || !c.waits[id]
}
