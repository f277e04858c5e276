package compile

import "crak.dev/crak/fd"

// asks tells whether a member asks for something when the group goes: for the notification of a message, for example. It could not ask
// before, because crak itself would cause it.
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

// ask asks, and waits until the other members have asked: one that ran before could cause what another one asks for. A stopped member goes
// before the others, and does not run the program. So it does not wait.
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
