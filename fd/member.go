package fd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/resident"
)

// Member is a process whose descriptors are captured. When it is frozen, its initiator makes system calls for the
// writer.
type Member struct {
	Pid    int    // for errors
	Live   int    // a live thread, if the thread group leader has exited; 0: Pid
	Inside int    // its PID in its own PID namespace
	Proc   string // "/proc/412", of the live thread

	// Holders finds out which other processes have the member's pipes open. May be nil.
	Holders *Holders

	// Overrides are what the image has in place of some descriptors.
	Overrides Overrides

	// Except are descriptors of the resident, which are not part of the program.
	Except []int

	// Calls makes the initiator carry out system calls, in order. It returns their results (-errno if they fail) and
	// updates data in place. It is nil if the process is not frozen: then the questions that need it are left out,
	// and only the obstacles of the result are meaningful.
	Calls func(calls []abi.Call, data []byte) ([]int64, error)
}

func (m *Member) live() int { return cmp.Or(m.Live, m.Pid) }

// Descriptors are the descriptors of a member, in three steps: Look, Ask, Capture. The caller sends the questions of
// Ask to the initiator together with its own, because each exchange costs two wake-ups.
type Descriptors struct {
	member *Member
	all    []*open
	owners map[*open]*owner
	pipes  map[Inode]*ends
}

// Look takes a handle of each descriptor of a frozen member and reads what /proc shows. Of a running program it reads
// only /proc: a handle would keep open what the program closes. The error is for a process that cannot be read at
// all. The caller must call Close.
func Look(m *Member) (*Descriptors, error) {
	all, err := look(m)
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", m.Pid, err)
	}
	return &Descriptors{member: m, all: all, owners: make(map[*open]*owner)}, nil
}

// Close releases the handles, except those that the table keeps.
func (d *Descriptors) Close() { closeHandles(d.all) }

// Ask adds the questions for the initiator.
func (d *Descriptors) Ask(q *resident.Questions) {
	ask := &questions{q}
	for _, o := range d.all {
		d.owners[o] = askOwner(ask, o)
	}
}

// Capture does all three steps.
func Capture(m *Member, table *Table) ([]image.Descriptor, error) {
	d, err := Look(m)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if m.Calls != nil {
		var q resident.Questions
		d.Ask(&q)
		if err := q.Put(m.Calls); err != nil {
			return nil, fmt.Errorf("pid %d: descriptors: %w", m.Pid, err)
		}
	}
	return d.Capture(table)
}

// Capture adds descriptions, memory objects and obstacles to the table. The initiator must have answered before.
func (d *Descriptors) Capture(table *Table) ([]image.Descriptor, error) {
	m := d.member
	groups, err := d.share()
	if err != nil {
		return nil, fmt.Errorf("pid %d: %w", m.Pid, err)
	}
	d.findEnds()
	for _, o := range d.all {
		o.ownPipe = o.isPipe() && d.pipes[o.inode()].isOwn()
	}
	c := &capture{Descriptors: d, Member: m, table: table}
	c.questions.Questions = new(resident.Questions)
	descriptors := make([]image.Descriptor, 0, len(d.all))
	taken := make([]*taken, 0, len(groups))
	for _, g := range groups {
		t, err := c.take(g)
		if err != nil {
			if err := c.refuse(g.first(), err); err != nil {
				return nil, err
			}
			continue
		}
		t.description.ID = image.DescriptionID(len(table.Descriptions) + 1)
		table.Descriptions = append(table.Descriptions, t.description)
		taken = append(taken, t)
		for _, o := range g {
			descriptors = append(descriptors, image.Descriptor{Fd: o.fd, CloseOnExec: o.cloex, Description: t.description.ID})
		}
	}
	if err := c.questions.put(m); err != nil {
		return nil, fmt.Errorf("pid %d: descriptors: %w", m.Pid, err)
	}
	for _, t := range taken {
		if err := t.finish(table); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(descriptors, func(a, b image.Descriptor) int { return cmp.Compare(a.Fd, b.Fd) })
	return descriptors, nil
}

// capture is one run of Capture.
type capture struct {
	*Descriptors
	*Member
	table     *Table
	questions questions
	tty       *controlling
	object    image.ObjectID // of the description that is being captured, or 0
}

// refuse records an obstacle of a description. It returns any other error.
func (c *capture) refuse(o *open, err error) error {
	var why obstacle.Obstacle
	if !errors.As(err, &why) {
		return fmt.Errorf("pid %d fd %d: %w", c.Pid, o.fd, err)
	}
	why = c.explainInherited(o, why)
	why.Pid = c.Pid
	why.Where = "fd " + strconv.Itoa(o.fd)
	c.table.Obstacles = append(c.table.Obstacles, why)
	return nil
}

// taken is a description whose record waits for answers of the initiator.
type taken struct {
	description image.Description
	record      any
	owner       *owner
}

// take finds the kind of a description and captures it.
func (c *capture) take(g shared) (*taken, error) {
	o := g.first()
	if o.override == DevNull {
		return nullDevice(o), nil
	}
	if o.swapped {
		return nil, obstacle.Obstacle{
			What: o.link,
			Why:  "another object takes its place while the program is frozen: another process shares its descriptors (clone(2), CLONE_FILES)",
			Do:   "end that process before the checkpoint",
		}
	}
	k := kindOf(o)
	c.object = 0
	record, err := k.capture(c, g)
	if err != nil {
		return nil, err
	}
	t := &taken{record: record}
	t.description = image.Description{Kind: k.name, Object: c.object, Flags: o.flags, Offset: o.pos}
	if t.description.Locks, err = c.locks(g); err != nil {
		return nil, err
	}
	t.owner = c.owners[o]
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
