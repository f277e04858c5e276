package fd

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// shared are the descriptors of one open file description, in ascending order.
type shared []*open

func (s shared) first() *open { return s[0] }

// share finds out which descriptors are dups of each other, ordered by their lowest number,
// and drops the resident's own socket. Without a leader every descriptor stands alone.
//
// Descriptors that look alike are sorted by quicksort, as kcmp(2) orders descriptions; all comparisons of one
// depth go in one exchange with the leader, and for the usual handful of dups there is one depth.
func share(m *Member, all []*open) ([]shared, error) {
	var groups []shared
	if m.Calls == nil {
		for _, o := range all {
			groups = append(groups, shared{o})
		}
		return groups, nil
	}
	var q questions
	own := make(map[*open]bool)
	for _, o := range all {
		if o.format() == unix.S_IFSOCK {
			askPeer(&q, o, own)
		}
	}
	for pending := lookAlikes(all); len(pending) > 0; {
		for _, p := range pending {
			p.ask(m, &q)
		}
		if err := q.put(m); err != nil {
			return nil, err
		}
		var next []*partition
		for _, p := range pending {
			if p.err != nil {
				return nil, p.err
			}
			groups = append(groups, p.equal)
			for _, side := range [][]*open{p.less, p.more} {
				if len(side) > 0 {
					next = append(next, &partition{rest: side})
				}
			}
		}
		pending = next
	}
	groups = slices.DeleteFunc(groups, func(g shared) bool { return own[g.first()] })
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
		pid, a, b := uint64(m.Pid), uint64(o.fd), uint64(pivot.fd)
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

// askPeer finds out whether a socket is the one by which the leader talks to the writer, whose
// name begins with abi.SocketPrefix in the abstract namespace.
func askPeer(q *questions, o *open, own map[*open]bool) {
	const lengthSize = 8
	buffer := make([]byte, lengthSize+unix.SizeofSockaddrUnix)
	buffer[0] = unix.SizeofSockaddrUnix
	call := abi.Call{
		Number:   unix.SYS_GETPEERNAME,
		Relative: 1<<1 | 1<<2,
		Args:     [6]uint64{uint64(o.fd), lengthSize, 0},
	}
	q.Ask(call, buffer, func(result int64, data []byte) {
		name := data[lengthSize+2:]
		own[o] = result == 0 && name[0] == 0 && bytes.HasPrefix(name[1:], []byte(abi.SocketPrefix))
	})
}
