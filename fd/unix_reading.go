package fd

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// A unixReading is what a Unix socket itself tells through a handle: options, events, and the other end. Its queue is read at the same time
// (queue), because each handle takes four system calls.
type unixReading struct {
	asked    bool // there was a handle that shares the description
	usual    *usualOptions
	options  map[string][]int32
	filter   SocketFilter
	locked   bool        // the filter
	events   int16       // POLLIN, POLLPRI, POLLERR, POLLHUP
	peer     *unix.Ucred // SO_PEERCRED; nil: not known
	peerName *UnixName   // getpeername(2), of a socket that may have a peer outside of the group
	err      error       // why a restart cannot make the socket again
}

// readUnix reads sockets of frozen members on all processors. It returns the new descriptions that are in their queues.
func (c *capture) readUnix(all []*open) ([]*open, error) {
	all = slices.DeleteFunc(all, func(o *open) bool { return o.member.Calls == nil })
	for _, o := range all {
		s := o.socket
		s.reading.usual, s.reading.err = c.usual(fmt.Sprint("UNIX ", s.kind), func() (*os.File, error) { return newUnix(int(s.kind)) }, socketOptions)
	}
	inside, errs := make([][]*open, len(all)), make([]error, len(all))
	onAllProcessors(len(all), func(i int, h *handles) { inside[i], errs[i] = c.readOneUnix(all[i], h) })
	return slices.Concat(inside...), errors.Join(errs...)
}

// readOneUnix reads a socket, and returns the new descriptions that are in its queue.
func (c *capture) readOneUnix(o *open, h *handles) ([]*open, error) {
	r := &o.socket.reading
	if err := h.take(o); err != nil || o.swapped || r.err != nil {
		return nil, err
	}
	defer o.release()
	if r.asked = o.handle.asks(); !r.asked {
		r.err = errors.New("the kernel refuses pidfd_getfd(2), so its options and its queue cannot be read")
		return nil, nil
	}
	if r.err = r.read(o.handle.fd, o.socket); r.err != nil || o.socket.listening {
		return nil, nil
	}
	return c.lookIntoQueue(o), nil
}

// read reads everything but the queue.
func (r *unixReading) read(socket int, s *unixSocket) (err error) {
	r.peer, _ = unix.GetsockoptUcred(socket, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if s.peered && (s.kind == unix.SOCK_DGRAM || s.shutdown == 3) {
		var a unix.RawSockaddrUnix
		if length, err := peerName(socket, &a); err == nil {
			r.peerName = nameFrom(&a, length)
		}
	}
	if r.filter, err = filterOf(socket); err != nil {
		return err
	}
	if r.locked, err = isLocked(socket); err != nil {
		return err
	}
	r.options = r.usual.changed(socket)
	r.events, err = eventsOf(socket, unix.POLLIN|unix.POLLPRI)
	return err
}

// option returns the value of an option. It is nil if this kernel does not have the option.
func (r *unixReading) option(name string) []int32 {
	if value := r.options[name]; value != nil {
		return value
	}
	return r.usual.value(name)
}

// result fills in a record, and returns the content of the queue. Relative names of senders start at the directory.
func (r *unixReading) result(record *UnixSocket, s *unixSocket, waits bool, directory func() string) ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	record.Filter, record.FilterLocked, record.Options = r.filter, r.locked, r.options
	if waits && s.unsent != 0 {
		return nil, passing("it has sent data on a connection that nobody has accepted yet")
	}
	if record.Reset = r.events&unix.POLLERR != 0; record.Reset {
		if record.Type != unix.SOCK_STREAM || !record.Closed {
			return nil, passing("it has an error that the program has not seen yet")
		}
	}
	q := &s.queue
	if q.refusal == nil && r.events&unix.POLLPRI != 0 && !slices.ContainsFunc(q.messages, func(m UnixMessage) bool { return m.OutOfBand }) {
		q.refusal = passing("out-of-band data waits in it (MSG_OOB)")
	}
	if q.refusal == nil && record.Options["pass_pidfd"] != nil && slices.ContainsFunc(q.messages, UnixMessage.isSigned) {
		q.refusal = passing("messages wait in it that give the program pidfds of their senders (SO_PASSPIDFD), which CRAK cannot send again")
	}
	for _, m := range q.messages {
		if from := m.From; from != nil && from.Path != "" && from.Path[0] != '/' {
			from.Directory = directory() // a guess: the kernel does not tell where a sender that is closed has its name
		}
	}
	record.Messages = q.messages
	return q.content, q.refusal
}
