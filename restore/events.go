package restore

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/busypoll"
)

// Events waits for the control socket and for the end of the interpreter.
type events struct {
	set  [sources]unix.PollFd
	wake int // an eventfd by which other goroutines end a wait
}

// A source is where an event comes from.
type source int

const (
	controlSocket  source = iota // it can be read, or no process has its other end
	interpreterEnd               // the pidfd of the interpreter
	wake                         // a goroutine has called wakeUp
	sources
	eventTimeout // no event has come for a while
)

func newEvents() (*events, error) {
	e := &events{}
	for i := range e.set {
		e.set[i] = unix.PollFd{Fd: -1, Events: unix.POLLIN}
	}
	var err error
	if e.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	e.add(wake, e.wake)
	return e, nil
}

func (e *events) add(s source, fd int) { e.set[s].Fd = int32(fd) }
func (e *events) remove(s source)      { e.set[s] = unix.PollFd{Fd: -1, Events: unix.POLLIN} }

// wakeUp makes next return once. Any goroutine may call it.
func (e *events) wakeUp() { unix.Write(e.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// pollTimeout is how long next waits for an event. Only a test changes it.
var pollTimeout = 20 * time.Millisecond

// next waits for an event. An event that the caller leaves as it is comes again, except wake.
func (e *events) next() (source, error) {
	switch n, err := busypoll.Poll(e.set[:], pollTimeout); {
	case err != nil:
		return 0, fmt.Errorf("control socket: poll: %w", err)
	case n == 0:
		return eventTimeout, nil
	}
	for s := range e.set {
		if e.set[s].Revents != 0 {
			if source(s) == wake {
				var count [8]byte
				unix.Read(e.wake, count[:]) // otherwise each further wait would end at once
			}
			return source(s), nil
		}
	}
	return eventTimeout, nil
}

// pending tells whether next would return an event at once.
func (e *events) pending() (bool, error) {
	n, err := busypoll.Poll(e.set[:], 0)
	return n > 0, err
}

func (e *events) close() { unix.Close(e.wake) }
