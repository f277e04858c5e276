package fd

import (
	"golang.org/x/sys/unix"
)

// ends is what is known of a pipe or FIFO: who has which of its ends open.
//
// A pipe belongs to the group where nobody else has it open: then it comes back as a pipe of the group's own, with the bytes
// in it. An end whose other end is outside comes back on 0, 1 and 2 only, as crak restart's own.
type ends struct {
	read, write bool         // open in the group
	outside     []pipeHolder // processes outside that were seen to have it open
	hidden      bool         // the other end is open in a process that could not be looked into
}

// isOwn tells whether nobody outside has it open.
func (e ends) isOwn() bool { return len(e.outside) == 0 && !e.hidden }

// findEnds looks at every pipe and FIFO of a member.
func (d *Descriptors) findEnds() {
	d.pipes = make(map[Inode]*ends)
	var links []string
	for _, o := range d.all {
		if !o.isPipe() {
			continue
		}
		e := d.pipes[o.inode()]
		if e == nil {
			e = &ends{}
			d.pipes[o.inode()] = e
			links = append(links, o.link)
		}
		e.read = e.read || o.readable()
		e.write = e.write || o.writable()
	}
	if len(links) == 0 {
		return
	}
	holders := d.member.Holders
	if holders == nil {
		holders = new(Holders)
	}
	others := holders.of(links, []int{d.member.Pid, d.member.live()})
	for _, o := range d.all {
		if e := d.pipes[o.inode()]; e != nil && o.isPipe() {
			e.outside = others[o.link]
			e.hidden = e.hidden || d.otherEndLives(o, *e)
		}
	}
}

// otherEndLives asks the kernel about a pipe with one end in the group, where no process was seen that has the other. Only the
// pipe of a frozen program is looked at. A FIFO is not: it is found again by its path, whoever has it open.
func (d *Descriptors) otherEndLives(o *open, e ends) bool {
	if e.read && e.write || len(e.outside) > 0 || o.hasPath() || d.member.Calls == nil {
		return false
	}
	end := o.handle.fd
	if !o.handle.asks() {
		var err error
		if end, err = unix.Open(o.path, int(o.flags&unix.O_ACCMODE)|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return true
		}
		defer unix.Close(end)
	}
	// A read end without writers has POLLHUP, a write end without readers POLLERR (pipe_poll in fs/pipe.c).
	poll := []unix.PollFd{{Fd: int32(end)}}
	_, err := unix.Poll(poll, 0)
	return err != nil || poll[0].Revents&(unix.POLLHUP|unix.POLLERR) == 0
}
