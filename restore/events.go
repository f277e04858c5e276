package restore

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/busypoll"
)

// Events waits for many sockets and pidfds at once, by epoll(7): a group can have thousands.
type events struct {
	fd    int
	wake  int // an eventfd by which other goroutines end a wait
	ready []unix.EpollEvent
}

// An event says that a descriptor can be read, or that its other end is closed.
type event struct {
	source source
	member int // its index, if the source is one of a member
}

type source int32

const (
	eventTimeout     source = iota // no event has come for a while
	wake                           // a goroutine has called wakeUp
	memberSocket                   // the control socket of a member
	memberEnd                      // the pidfd of a member: it has ended
	interpreterEnd                 // the pidfd of the interpreter
	mostEventsAtOnce = 64
)

func newEvents() (*events, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	e := &events{fd: fd}
	if e.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	if err := e.add(e.wake, event{source: wake}); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *events) add(fd int, what event) error {
	in := &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(what.member), Pad: int32(what.source)}
	if err := unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, fd, in); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// remove is called before the descriptor is closed: epoll would go on reporting it if another process has the same description.
func (e *events) remove(fd int) { unix.EpollCtl(e.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// wakeUp makes next return. Any goroutine may call it.
func (e *events) wakeUp() { unix.Write(e.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// eventPatience is how long next waits for an event.
const eventPatience = 300 * time.Millisecond

// next waits for an event. An event that the caller leaves as it is comes again.
func (e *events) next() (event, error) {
	for len(e.ready) == 0 {
		set := []unix.PollFd{{Fd: int32(e.fd), Events: unix.POLLIN}}
		switch n, err := busypoll.Poll(set, eventPatience); {
		case err != nil:
			return event{}, fmt.Errorf("control sockets: poll: %w", err)
		case n == 0:
			return event{source: eventTimeout}, nil
		}
		all := make([]unix.EpollEvent, mostEventsAtOnce)
		n, err := unix.EpollWait(e.fd, all, 0)
		if err != nil && err != unix.EINTR {
			return event{}, fmt.Errorf("control sockets: epoll_wait: %w", err)
		}
		e.ready = all[:max(n, 0)]
	}
	first := e.ready[0]
	e.ready = e.ready[1:]
	return event{source(first.Pad), int(first.Fd)}, nil
}

func (e *events) close() {
	unix.Close(e.wake)
	unix.Close(e.fd)
}
