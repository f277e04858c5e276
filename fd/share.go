package fd

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// shared are the descriptors of one open file description, in ascending order.
type shared []*open

func (s shared) first() *open { return s[0] }

// share finds out which descriptors are dups of each other, ordered by their lowest number.
// Without a leader every descriptor stands alone.
//
// Descriptors that look alike are sorted by quicksort, as kcmp(2) orders descriptions; all comparisons of one
// depth go in one exchange with the leader, and for the usual handful of dups there is one depth, which Ask has asked.
func (d *Descriptors) share() ([]shared, error) {
	var groups []shared
	if d.member.Calls == nil {
		for _, o := range d.all {
			groups = append(groups, shared{o})
		}
		return groups, nil
	}
	for pending := d.parts; len(pending) > 0; {
		var next []*partition
		q := questions{new(resident.Questions)}
		for _, p := range pending {
			if p.err != nil {
				return nil, p.err
			}
			groups = append(groups, p.equal)
			for _, side := range [][]*open{p.less, p.more} {
				if len(side) > 0 {
					deeper := &partition{rest: side}
					deeper.ask(d.member, &q)
					next = append(next, deeper)
				}
			}
		}
		if err := q.put(d.member); err != nil {
			return nil, err
		}
		pending = next
	}
	slices.SortFunc(groups, func(a, b shared) int { return cmp.Compare(a.first().fd, b.first().fd) })
	return groups, nil
}

// partition sorts descriptors by how they compare with the first of them.
type partition struct {
	rest              []*open
	less, equal, more []*open
	err               error
}

// lookAlikes puts those descriptors together that agree in what all dups agree in.
func lookAlikes(all []*open) []*partition {
	type looks struct {
		inode Inode
		flags uint32
		pos   int64
		link  string
	}
	by := make(map[looks]*partition)
	var parts []*partition
	for _, o := range all {
		key := looks{o.inode(), o.flags, o.pos, o.link}
		p := by[key]
		if p == nil {
			p = &partition{}
			by[key] = p
			parts = append(parts, p)
		}
		p.rest = append(p.rest, o)
	}
	return parts
}

const (
	kcmpFile    = 0    // KCMP_FILE of linux/kcmp.h
	kcmpEqual   = 0    // kcmp(2): the results
	kcmpLess    = 1    //
	fdupFdQuery = 1027 // F_DUPFD_QUERY of linux/fcntl.h, since Linux 6.10: 1 for the same description
)

// ask compares each descriptor with the first by kcmp and by F_DUPFD_QUERY as well: seccomp filters of
// containers often forbid the former, older kernels lack the latter.
func (p *partition) ask(m *Member, q *questions) {
	pivot := p.rest[0]
	p.equal = p.rest[:1:1]
	for _, o := range p.rest[1:] {
		pid, a, b := uint64(m.Inside), uint64(o.fd), uint64(pivot.fd)
		var order int64
		kcmp := abi.Call{Number: unix.SYS_KCMP, Args: [6]uint64{pid, pid, kcmpFile, a, b}}
		q.Ask(kcmp, nil, func(result int64, _ []byte) { order = result })
		q.fcntl(o.fd, fdupFdQuery, b, func(result int64) { p.place(o, order, result) })
	}
}

// place puts a descriptor on its side. Where only F_DUPFD_QUERY answers there is no order, and
// everything else counts as more.
func (p *partition) place(o *open, order, same int64) {
	switch {
	case order == kcmpEqual || order < 0 && same == 1:
		p.equal = append(p.equal, o)
	case order == kcmpLess:
		p.less = append(p.less, o)
	case order > kcmpLess || same == 0:
		p.more = append(p.more, o)
	default:
		p.err = fmt.Errorf("fd %d: kcmp: %w", o.fd, unix.Errno(-order))
	}
}
