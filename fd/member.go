package fd

import (
	"cmp"
	"fmt"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
	"crak.dev/crak/internal/rights"
)

// Member is a process whose descriptors are captured. When it is frozen, its initiator makes system calls for the
// writer.
type Member struct {
	// As calls a function with the rights of the member alone. It is nil if the caller has the member's rights.
	As func(do func() error) error

	Pid    int    // for errors
	Live   int    // a live thread, if the thread group leader has exited; 0: Pid
	Inside int    // its PID in its own PID namespace
	Proc   string // "/proc/412", of the live thread

	// Holders finds out which other processes have the member's pipes open. May be nil. The members of a group share
	// it, so that all processes are looked at only once.
	Holders *Holders

	// Seen is Table.Seen, which the members of a group share. It is nil for a single process.
	Seen *Seen

	// Overrides says what the image has in place of some descriptors.
	Overrides Overrides

	// Views is how many threads of the writer may look at the member's descriptors at the same time, with a view each. 0 is 1.
	Views int

	// WithFiles says that the image gets copies of the files that the member can write to.
	WithFiles bool

	// Except has the descriptors of the resident, which do not belong to the program.
	Except []int

	// Calls makes the initiator carry out system calls, in order. It returns their results (-errno if they fail) and
	// updates data in place. It is nil if the process is not frozen: then the questions that need it are left out,
	// and only the obstacles of the result are meaningful.
	Calls func(calls []abi.Call, data []byte) ([]int64, error)

	// Give is Calls, and sends the initiator a descriptor: one of the calls receives it from the socket Wire. Nil as Calls.
	Give func(file int, calls []abi.Call, data []byte) ([]int64, error)
	Wire int
}

// as calls a function that looks at what the member has open.
func (m *Member) as(do func() error) error {
	if m.As == nil {
		return do()
	}
	return m.As(do)
}

// own calls a function with the writer's own rights, while the writer looks at the member. The function looks at nothing but a kernel
// object, through a handle.
func (m *Member) own(do func() error) (err error) {
	if m.As == nil {
		return do()
	}
	rights.Own(func() { err = do() })
	return err
}

func (m *Member) live() int { return cmp.Or(m.Live, m.Pid) }

// Descriptors are the descriptors of a member, in three steps: Look and Ask for each member, and then CaptureGroup for
// all. The caller sends the questions of Ask to the initiator together with its own, because each exchange costs two
// wake-ups.
type Descriptors struct {
	member *Member
	seen   *Seen
	all    []*slot
}

// Look reads what /proc shows of each descriptor of a member. If the member is frozen, Look reads it through handles,
// and closes each handle at once. Of a running program it reads only /proc: a handle would keep open what the program
// closes. The error is for a process that cannot be read at all.
//
// Preconditions: all members of the group are frozen, or none is.
func Look(m *Member) (*Descriptors, error) {
	d := &Descriptors{member: m, seen: cmp.Or(m.Seen, new(Seen))}
	var err error
	if d.all, err = look(m, d.seen); err != nil {
		return nil, fmt.Errorf("pid %d: %w", m.Pid, err)
	}
	return d, nil
}

// Ask adds the questions for the initiator: about each descriptor, and about the descriptions that were first seen in this member.
func (d *Descriptors) Ask(q *resident.Questions) {
	for _, s := range d.all {
		q.Value(unix.SYS_FCNTL, [6]uint64{uint64(s.fd), unix.F_GETFD}, func(flags int64) {
			s.cloex, s.gone = flags&unix.FD_CLOEXEC != 0, flags < 0
		})
		if o := s.of; o.member == d.member && o.fd == s.fd && !o.ownerless {
			o.owner = askOwner(q, o)
		}
	}
}
