package compile

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/restore/program"
)

// receive has the process receive the descriptions that crak makes when the members exist. Until then their numbers are copies of the
// control socket, so that no call gets one of these numbers. recvmsg(2) gives new descriptors the lowest free numbers, and
// does not return them. So the process takes these numbers by F_DUPFD before, and frees them again.
//
// All members share the control socket, and crak sends one batch at a time. A process reads the socket only when its turn has come.
func (c *compiler) receive() {
	batches := c.target.Batches[c.process.Pid]
	control := program.Const(c.target.Control)
	for _, batch := range batches {
		c.report(StageReceives, "a batch of descriptors can be sent")
		c.wait("the batch is sent")
		numbers := make([]program.Arg, len(batch))
		for i := range numbers {
			numbers[i] = c.b.Call(unix.SYS_FCNTL, control, program.Const(unix.F_DUPFD_CLOEXEC), program.Const(0)).Keep().Arg()
		}
		for _, n := range numbers {
			c.b.Call(unix.SYS_CLOSE, n)
		}
		c.b.Call(unix.SYS_RECVMSG, control, c.set.Message(make([]int, len(batch))...),
			program.Const(unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)).Want(1).Note("crak sends a batch")
		for i, id := range batch {
			for _, d := range c.numbers[id] {
				c.copyTo(numbers[i], d)
			}
			c.b.Call(unix.SYS_CLOSE, numbers[i])
		}
	}
	if len(batches) > 0 {
		c.report(StageReceived, "all batches are received")
	}
}
