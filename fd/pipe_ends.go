package fd

import (
	"cmp"
	"maps"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/retry"
)

// ends says who has which end of a pipe or FIFO open.
//
// If only the group has the pipe open, a restart makes a new pipe with the bytes that were in it. If another process
// has the other end, a restart can restore the pipe only as descriptor 0, 1 or 2: it takes the one of crak restart.
type ends struct {
	read, write bool         // open in the group
	outside     []pipeHolder // other processes that have it open
	hidden      bool         // a process that the writer may not read has the other end open
}

// isOwn tells whether only the group has the pipe open.
func (e ends) isOwn() bool { return len(e.outside) == 0 && !e.hidden }

// findEnds finds the ends of every pipe and FIFO of the group.
func (c *capture) findEnds(descriptions []*open) {
	c.pipes = make(map[Inode]*ends)
	links := make(map[*Holders][]string)
	for _, o := range descriptions {
		if !o.isPipe() {
			continue
		}
		e := c.pipes[o.inode()]
		if e == nil {
			e = &ends{}
			c.pipes[o.inode()] = e
			h := o.member.Holders
			links[h] = append(links[h], o.link)
		}
		e.read = e.read || o.readable()
		e.write = e.write || o.writable()
	}
	if len(c.pipes) == 0 {
		return
	}
	own := make(map[int]bool)
	for _, d := range c.members {
		own[d.member.Pid], own[d.member.live()] = true, true
	}
	others := make(map[string][]pipeHolder)
	for h, links := range links {
		maps.Copy(others, cmp.Or(h, new(Holders)).of(links, own))
	}
	for _, o := range descriptions {
		if o.isPipe() {
			e := c.pipes[o.inode()]
			e.outside = others[o.link]
			e.hidden = e.hidden || c.otherEndLives(o, *e)
		}
	}
	for _, o := range descriptions {
		o.ownPipe = o.isPipe() && c.pipes[o.inode()].isOwn()
	}
}

// otherEndLives asks the kernel whether the other end of a pipe is open. It is needed if the group has one end and
// the search has found no process with the other. The program must be frozen. A FIFO that has a name is not asked about: a restart
// finds it by its path, whatever process has it open.
func (c *capture) otherEndLives(o *open, e ends) bool {
	if e.read && e.write || len(e.outside) > 0 || o.hasPath() && o.stat.Nlink > 0 || o.member.Calls == nil {
		return false
	}
	if err := c.handles.take(o); err != nil || o.swapped {
		return true
	}
	defer o.release()
	end := o.handle.fd
	if !o.handle.asks() {
		var err error
		if end, err = retry.Open(o.path(), int(o.flags&unix.O_ACCMODE)|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return true
		}
		defer unix.Close(end)
	}
	// A read end without writers has POLLHUP, a write end without readers POLLERR (pipe_poll in fs/pipe.c).
	events, err := eventsOf(end, 0)
	if err != nil || events&(unix.POLLHUP|unix.POLLERR) != 0 {
		return err != nil
	}
	return !o.hasPath() || !o.readable() || withoutWriter(end) != nil
}

// withoutWriter returns nil if an empty FIFO has no writer. A read end of a FIFO has no POLLHUP if nobody has opened the FIFO for writing
// since it was opened. But tee(2) fails with EAGAIN if there is a writer, and copies nothing if there is none.
func withoutWriter(end int) error {
	if length, err := unix.IoctlGetInt(end, unix.TIOCINQ); err != nil || length != 0 {
		return cmp.Or(err, error(unix.EAGAIN))
	}
	var copies [2]int
	if err := unix.Pipe2(copies[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return err
	}
	defer unix.Close(copies[0])
	defer unix.Close(copies[1])
	_, err := unix.Tee(end, copies[1], 1, unix.SPLICE_F_NONBLOCK)
	return err
}
