package fd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
)

// inFlight has the descriptions that are in queues of Unix sockets (unix(7), SCM_RIGHTS), and that no member has. MSG_PEEK gives the
// writer descriptors of them. The writer keeps one descriptor of each until the image has the content of all objects. So the code that
// captures descriptions treats them as descriptions of the writer.
type inFlight struct {
	writer *Member
	view   *view
	kept   []int
}

// lookIntoQueue reads the receive queue of a socket, and returns the new descriptions that are in it. If a restart cannot fill the
// queue again, lookIntoQueue records the reason as a refusal. It may be called for several sockets at the same time.
func (c *capture) lookIntoQueue(o *open) (inside []*open) {
	q := &o.socket.queue
	q.arrived = func(fds []int) (rights []*open, err error) {
		c.queues.Lock()
		defer c.queues.Unlock()
		defer func() { closeAll(fds) }()
		for len(fds) > 0 {
			one, isNew, err := c.arrival(o, fds[0])
			if err != nil {
				return nil, err
			}
			rights = append(rights, one)
			if isNew {
				inside = append(inside, one)
			} else {
				unix.Close(fds[0])
			}
			fds = fds[1:]
		}
		return rights, nil
	}
	q.sender = func(user unix.Ucred, n int) (*Credentials, error) {
		c.queues.Lock()
		defer c.queues.Unlock()
		return c.senderOf(o, user, n)
	}
	if o.socket.kind == unix.SOCK_STREAM {
		q.refusal = q.peekStream(o.handle.fd, &o.socket.reading)
	} else {
		q.refusal = q.peekMessages(o.handle.fd, &o.socket.reading)
	}
	if !o.socket.peered && (q.refusal == unix.ENOTCONN || q.refusal == unix.EINVAL) { // it was never connected
		q.refusal = nil
	}
	return inside
}

// number fills in the numbers of the descriptions.
func (q *queue) number(ids map[*open]image.DescriptionID) {
	for i, rights := range q.rights {
		for _, o := range rights {
			q.messages[i].Descriptors = append(q.messages[i].Descriptors, ids[o])
		}
	}
}

// arrival finds the description of a descriptor from the queue of a socket. If no process of the group has this description, it is new,
// and the table keeps the descriptor.
func (c *capture) arrival(socket *open, fd int) (o *open, isNew bool, err error) {
	f := &c.table.inFlight
	if f.view == nil {
		if err := f.begin(socket.member.Holders, c.members[0].seen); err != nil {
			return nil, false, err
		}
	}
	s, err := f.view.at(strconv.Itoa(fd))
	if err != nil {
		return nil, false, err
	}
	for o = s.of; o.same != nil; o = o.same {
	}
	if o.member != f.writer || o.fd != fd {
		return o, false, nil
	}
	if slices.Contains(f.view.seen.alone, o) {
		return nil, false, errors.New("the kernel refuses kcmp(2), so CRAK cannot tell which descriptors are in its queue")
	}
	o.within = socket
	f.kept = append(f.kept, fd)
	if isOwned(fd) {
		o.refusal = &obstacle.Obstacle{What: o.link, Why: "a process gets its I/O signals (fcntl(2), F_SETOWN), and no process of the program has it open", Do: closeIt}
	}
	return o, true, nil
}

func (f *inFlight) begin(h *Holders, seen *Seen) (err error) {
	f.writer = &Member{Pid: os.Getpid(), Proc: "/proc/self", Holders: h, Seen: seen, Calls: func([]abi.Call, []byte) ([]int64, error) {
		return nil, errors.New("a description in the queue of a socket can be asked about only through a handle")
	}}
	f.view, err = newView(f.writer, seen)
	return err
}

// isOwned tells whether a description has an owner that gets I/O signals, or another signal than SIGIO.
func isOwned(fd int) bool {
	var owner struct{ kind, pid int32 }
	_, _, errno := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), fGetOwnEx, uintptr(unsafe.Pointer(&owner)))
	signal, err := unix.FcntlInt(uintptr(fd), fGetSig, 0)
	return errno == 0 && owner.pid != 0 || err == nil && signal != 0
}

// Release closes the writer's descriptors of descriptions in queues. Preconditions: the content of all objects has been saved, and the
// program is still frozen. The program could notice a later close: if the program closes the other copies, readers of a pipe would get
// the end of file too late.
func (t *Table) Release() {
	closeAll(t.inFlight.kept)
	if t.inFlight.view != nil {
		t.inFlight.view.close()
	}
	t.inFlight = inFlight{}
}

// queued adds to an obstacle in which socket's queue the description is.
func (o *open) queued(why obstacle.Obstacle) obstacle.Obstacle {
	for o.within != nil {
		o = o.within
	}
	why.Pid, why.Where = o.member.Pid, "fd "+strconv.Itoa(o.fd)
	why.What = fmt.Sprintf("descriptor in the queue of a Unix socket (SCM_RIGHTS): %s", why.What)
	why.Option = ""
	return why
}
