package fd

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/retry"
)

// A message of a POSIX message queue can be read only by taking it out. So the initiator of a member takes all messages out and puts them
// back, in one list of system calls. It carries out the whole list, even if the writer is killed meanwhile. The list puts the messages back
// in the order in which they came out, which is the order of their priorities. So they come out in the same order again.
//
// All members are frozen meanwhile. A process outside of the group could get in between, so a queue is refused that such a process has open. If
// the initiator's process is killed (SIGKILL) in these microseconds, the messages that it has taken out are lost.
//
// If a process has asked for a notification (mqueue_notify.go), its initiator does all this. The messages that are put back would cause
// the notification, so the initiator takes that out first and asks for it again at the end.

// queueExchange reads what is in a queue, and leaves it there.
type queueExchange struct {
	o      *open
	limits queueAttributes
	from   *asker // nil if no process has asked for a notification

	member  *Member // its initiator makes the calls
	address uint64  // of the initiator's copy of the data
	room    uint64  // where it gets the messages; 0: nowhere

	callList
	fd   int  // a descriptor of the queue; -1: no member has one, and the writer sends its own to the initiator
	both bool // the initiator can send and receive through it
}

// needed tells whether something can be read only by taking it out.
func (x *queueExchange) needed() bool {
	return x.limits.present > 0 || x.from.bySignal() || x.from.byThread()
}

// messages is how many messages the initiator takes out. A notification by signal needs one.
func (x *queueExchange) messages() int64 {
	if x.from.bySignal() {
		return max(x.limits.present, 1)
	}
	return x.limits.present
}

// checkMessages returns a reason why the messages and the notification of a queue cannot be read.
func (c *capture) checkMessages(x *queueExchange) string {
	a, o := x.limits, x.o
	what := fmt.Sprintf("it has %d messages, which can be read only by taking them out", a.present)
	if a.present == 0 {
		what = "a process has asked for a notification of its next message, whose value can be read only by sending one"
	}
	outside := o.member.Holders.ofOne(o.link, c.pids())
	switch {
	case len(outside) > 0:
		return fmt.Sprintf("%s, and %s, outside of the program, has it open", what, processName(outside[0].pid))
	case a.present > queuedMost || x.messages()*a.size > queuedBytesMost:
		return fmt.Sprintf("it has %d messages of up to %d bytes, which are too many to read: they can be read only by taking them out", a.present, a.size)
	}
	return ""
}

// pids are the PIDs of the group, as the writer sees them.
func (c *capture) pids() map[int]bool {
	all := make(map[int]bool)
	for _, d := range c.members {
		all[d.member.Pid], all[d.member.live()] = true, true
	}
	return all
}

// choose chooses the member that reads the queue, and its descriptor. A queue that is only in the queue of a Unix socket is open in the
// writer.
func (x *queueExchange) choose() {
	of := x.o
	x.fd = of.fd
	if x.from != nil {
		of, x.fd = x.from.through, x.from.fd
	}
	x.both = of.flags&unix.O_ACCMODE == unix.O_RDWR
	for ; of.within != nil; of = of.within {
		x.fd = -1
	}
	x.member = of.member
	if x.from != nil {
		x.member = x.from.member
	}
}

// opensBoth checks that the member that is asked may take messages out of the queue and put others in, by its descriptor or by another one. Its
// resident tells what the messages are, and a restart by root puts these into the queue. So a member is not asked that could not do that
// itself.
func (x *queueExchange) opensBoth() error {
	if x.fd < 0 || x.both { // makeAll opens the queue if no member has a descriptor
		return nil
	}
	open := func() error {
		queue, err := retry.Open(x.o.path(), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(queue)
		}
		return err
	}
	if x.member.As == nil {
		return x.o.member.own(open)
	}
	return x.member.as(open)
}

// all returns the messages with their texts, and fills in the notification. The program gets a mapping for the time. If the writer is
// killed meanwhile, the mapping stays.
func (x *queueExchange) all() (waiting []QueuedMessage, content []byte, err error) {
	x.choose()
	if err := x.opensBoth(); err != nil {
		return nil, nil, fmt.Errorf("its messages can be read only by taking them out and putting them back, and pid %d may not open it for reading and writing: %w",
			x.member.Pid, err)
	}
	length := uint64(x.messages() * x.limits.size)
	var first callList
	first.call(abi.CallAddress, abi.Data(0))
	if length > 0 {
		first.call(unix.SYS_MMAP, 0, 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE, ^uint64(0), 0)
	}
	answer, err := first.run(x.member)
	if err != nil {
		return nil, nil, err
	}
	x.address = uint64(answer[0])
	if length > 0 {
		if err := failed("mmap", answer[1]); err != nil {
			return nil, nil, err
		}
		x.room = uint64(answer[1])
		defer func() {
			var last callList
			last.call(unix.SYS_MUNMAP, 0, x.room, length)
			_, unmapped := last.run(x.member)
			err = errors.Join(err, unmapped)
		}()
	}
	if x.from.bySignal() {
		if err := x.rehearse(); err != nil {
			return nil, nil, err
		}
	}
	if waiting, err = x.exchange(); err != nil {
		return nil, nil, err
	}
	for i, one := range waiting {
		text := make([]byte, one.Size)
		if one.Size > 0 && err == nil {
			err = readMemory(x.member.live(), x.room+uint64(i)*uint64(x.limits.size), text)
		}
		content = append(content, text...)
	}
	return waiting, content, err
}
