package compile

import "crak.dev/crak/fd"

// asks tells whether a member asks the kernel for something when the group goes, such as the notification of the next message. It
// could not ask before, because crak itself would cause the notification.
func (tr *tree) asks(c *compiler) bool {
	for _, d := range c.process.Descriptors {
		if of := tr.descriptions[d.Description]; of != nil && fd.Asks(*of) == c.process.Pid {
			return true
		}
	}
	return false
}

// askedMost is how long the members wait for each other, in 100 ms. A member may be killed meanwhile.
const askedMost = 100

// ask makes these calls, and waits until the other members have made theirs: a member that ran earlier could cause what another member asks
// for. A stopped member does not wait, because it goes before the others and does not run the program.
func (c *compiler) ask() {
	for _, do := range c.asking {
		do()
	}
	if c.tree.asks(c) {
		c.tree.asked.arrive(c.b, "it has asked")
	}
	if at := &c.tree.asked; at.total > 0 && c.process.StoppedBy == 0 {
		c.b.AwaitSome(at.counter, at.total, askedMost).Note("all have asked")
	}
}
