package fd

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
)

// CaptureGroup adds the descriptions of all members, their memory objects and the obstacles to the table. It returns
// the descriptors of each member. A description that several members have is captured once. The root of the group comes
// first: where several members have a pipe or terminal as stdin, stdout or stderr, its number counts.
//
// Preconditions: all members are frozen and their initiators have answered the questions of Ask, or none is frozen.
func CaptureGroup(all []*Descriptors, table *Table) ([][]image.Descriptor, error) {
	for _, d := range all {
		d.all = slices.DeleteFunc(d.all, func(s *slot) bool { return s.gone }) // another process shares the descriptors (CLONE_FILES)
	}
	c := &capture{members: all, table: table}
	defer c.handles.close()
	defer c.place.close()
	for _, seen := range c.seen() {
		seen.settle()
		if err := c.compareAlone(seen); err != nil {
			return nil, err
		}
	}
	descriptions := c.hold()
	if err := c.override(descriptions); err != nil {
		return nil, err
	}
	descriptions, err := c.findSockets(descriptions)
	if err != nil {
		return nil, err
	}
	c.findEnds(descriptions)
	if err := c.findPtys(descriptions); err != nil {
		return nil, err
	}
	var captured []*taken
	for _, o := range descriptions {
		o.overrideOutside()
		if o.override == LeaveOut {
			continue
		}
		t, err := c.take(o)
		if err != nil {
			if err := c.refuse(o, err); err != nil {
				return nil, err
			}
			continue
		}
		t.description.ID = image.DescriptionID(len(table.Descriptions) + 1)
		table.Descriptions = append(table.Descriptions, t.description)
		c.ids[o] = t.description.ID
		captured = append(captured, t)
	}
	if err := c.read(); err != nil {
		return nil, err
	}
	if err := c.questions.put(); err != nil {
		return nil, err
	}
	for _, do := range c.later {
		if err := do(); err != nil {
			return nil, err
		}
	}
	for _, t := range captured {
		if err := t.finish(table); err != nil {
			return nil, err
		}
	}
	return c.descriptors(), nil
}

// capture is one run of CaptureGroup.
type capture struct {
	members      []*Descriptors
	table        *Table
	questions    questions
	ids          map[*open]image.DescriptionID
	pipes        map[Inode]*ends
	sockets      map[uint32]*open          // Unix sockets of the group, by inode
	servers      map[serverName]*open      // those of them that listen
	leftOut      map[uint32]bool           // sockets of the group, by inode, that the user has left out (--fd): their peers find them closed
	waiting      map[uint32]*open          // those whose connections wait for accept(2), and the listening sockets
	queues       sync.Mutex                // guards what the queues of Unix sockets have in common: inFlight, senders, namespaces
	inside       []*open                   // descriptions that are only in queues
	unseen       bool                      // not frozen: something waits in the queue of a Unix socket
	senders      map[unix.Ucred]unix.Ucred // of messages, as the writer sees them and as the program would
	namespaces   map[string]bool           // by their paths in /proc: sharesNamespace
	tcp          tcpSockets
	chosen       bool // the user has chosen what becomes of a TCP connection, so epoll instances have something to report
	directories  []string
	silent       map[uint8]map[uint64]bool // by protocol: the inodes of sockets that have ended sending
	standard     map[Inode]int             // pipes that are stdin, stdout or stderr of a member
	tty          *controlling              // nil until the first terminal
	gone         map[Inode]*open           // pidfds of processes that have ended and were waited for
	askers       map[Inode]*asker          // who has asked for a notification of a POSIX message queue
	object       image.ObjectID            // of the description that is being captured, or 0
	ancestry     map[int][]*outsider       // of each member, by its live PID
	strangers    map[int]*outsider         // all of these, by PID
	usualOptions map[string]*usualOptions
	readings     []reading
	last         []reading      // when all readings have been done
	afterAll     []reading      // when these have been done
	later        []func() error // when the initiators have answered, and all descriptions have their numbers

	place   place
	handles handles
}

func (c *capture) seen() []*Seen {
	var all []*Seen
	known := make(map[*Seen]bool)
	for _, d := range c.members {
		if !known[d.seen] {
			known[d.seen] = true
			all = append(all, d.seen)
		}
	}
	return all
}

// hold lists the descriptions in the order of the members and of their descriptor numbers, each with all its
// descriptors. A description is captured through its first descriptor.
func (c *capture) hold() []*open {
	c.ids, c.standard = make(map[*open]image.DescriptionID), make(map[Inode]int)
	var all []*open
	for _, d := range c.members {
		for _, s := range d.all {
			for s.of.same != nil {
				s.of = s.of.same
			}
			o := s.of
			if o.holders == nil {
				all = append(all, o)
				o.member, o.fd = d.member, s.fd
			}
			o.holders = append(o.holders, holding{d, s})
			if _, known := c.standard[o.inode()]; !known && s.fd <= 2 && o.isPipe() {
				c.standard[o.inode()] = s.fd
			}
		}
	}
	return all
}

// descriptors are the descriptors of each member, without those that are left out or refused.
func (c *capture) descriptors() [][]image.Descriptor {
	all := make([][]image.Descriptor, len(c.members))
	for i, d := range c.members {
		all[i] = make([]image.Descriptor, 0, len(d.all))
		for _, s := range d.all {
			if id, known := c.ids[s.of]; known {
				all[i] = append(all[i], image.Descriptor{Fd: s.fd, CloseOnExec: s.cloex, Description: id})
			}
		}
	}
	return all
}

// elsewhere is an obstacle because no process of the group has the other end of a connection, or what a description refers to. That may be a
// descriptor in the queue of a Unix socket (SCM_RIGHTS). Nobody looks into queues before the program is frozen. So such an obstacle does not
// count before if something waits in a queue of the group.
type elsewhere struct{ obstacle.Obstacle }

// refuse records an obstacle of a description. It returns any other error.
func (c *capture) refuse(o *open, err error) error {
	if o.member.Calls == nil && errors.Is(err, os.ErrNotExist) {
		return nil // the program is not frozen, and has closed it meanwhile
	}
	var why obstacle.Obstacle
	var other elsewhere
	switch {
	case errors.As(err, &other) && o.member.Calls == nil && c.unseen:
		return nil
	case errors.As(err, &other):
		why = other.Obstacle
	case !errors.As(err, &why):
		return fmt.Errorf("pid %d fd %d: %w", o.member.Pid, o.fd, err)
	}
	if o.within != nil {
		c.table.Obstacles = append(c.table.Obstacles, o.queued(why))
		return nil
	}
	ancestor := o.member.inheritedFrom(o)
	for _, h := range o.holders { // each descriptor of the first member that has the description
		if h.of.member != o.member {
			continue
		}
		one := why
		switch {
		case ancestor != 0:
			one = explainInherited(h.fd, ancestor, why)
		case why.Option != "":
			one.Option, one.Do = leaveOut(h.fd), startWithout(h.fd)
		}
		one.Pid = o.member.Pid
		one.Where = "fd " + strconv.Itoa(h.fd)
		c.table.Obstacles = append(c.table.Obstacles, one)
	}
	return nil
}

// taken is a description whose record waits for answers of the initiator.
type taken struct {
	description image.Description
	record      any
	owner       *owner
}

// take finds the kind of a description and captures it.
func (c *capture) take(o *open) (*taken, error) {
	if o.override != "" {
		return replaced(o)
	}
	if o.refusal != nil {
		return nil, *o.refusal
	}
	if err := o.checkOwner(); err != nil {
		return nil, err
	}
	k := kindOf(o)
	c.object = 0
	var record any
	do := func() (err error) {
		record, err = k.capture(c, o)
		return err
	}
	var err error
	if k.later {
		err = o.member.as(do)
	} else {
		err = c.handles.with(o, do)
	}
	if err != nil {
		return nil, err
	}
	t := &taken{record: record, owner: o.owner}
	t.description = image.Description{Kind: k.name, Object: c.object, Flags: o.flags, Offset: o.pos}
	if t.description.Locks, err = o.allLocks(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *taken) finish(table *Table) error {
	d := &table.Descriptions[t.description.ID-1]
	d.Owner = t.owner.record()
	if t.record == nil {
		return nil
	}
	text, err := image.MarshalText(t.record)
	if err != nil {
		return fmt.Errorf("record of description %d: %w", d.ID, err)
	}
	d.Record = text
	return nil
}
