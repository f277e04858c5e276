package fd

import (
	"slices"
	"sync"
)

// Seen has the open file descriptions that Look has found so far in the members of a group. Several members may be looked at
// concurrently. The zero value is ready.
//
// Thousands of members may have inherited the same hundred descriptions. So Look compares a descriptor with the description that was
// seen last under the same number, by kcmp(2), and does not read it again if both are the same (under). When all members have been
// looked at, settle compares the rest. kcmp(2) orders descriptions, and this order does not change while they exist. So it is known
// from an earlier capture of the group: see ranks.
type Seen struct {
	mu      sync.Mutex
	numbers map[int]*open // the last description that was seen under a number
	alike   map[likeness][]*open
	settled bool    // each list of alike is in the order of kcmp(2), and has each description once
	alone   []*open // kcmp(2) could not compare these with others

	ranks map[descriptor]int // places in the order of an earlier capture, which had one description for each of them
	locks lockedInodes
}

// A descriptor is a number of a process.
type descriptor struct{ pid, fd int }

// A likeness is the same for all descriptors of one description. So kcmp(2) need compare only descriptions of the same likeness. All
// eventfds have one inode, but each has an ID.
type likeness struct {
	Inode
	eventfd string
}

// under returns the description of a descriptor if a member that was seen before has it under the same number, as it is after
// fork(2). Otherwise it returns nil.
func (s *Seen) under(m *Member, number int) *open {
	s.mu.Lock()
	o := s.numbers[number]
	s.mu.Unlock()
	if o != nil && o.member != m && isSame(o.member.live(), o.fd, m.live(), number) {
		return o
	}
	return nil
}

// add adds a description that may be one of those that were seen before. Until settle has compared it, it counts as new. Afterwards,
// add returns the known description that o is, or o itself.
func (s *Seen) add(o *open) *open {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alike == nil {
		s.alike, s.numbers = make(map[likeness][]*open), make(map[int]*open)
	}
	key := likeness{o.inode(), o.eventfd}
	if !s.settled {
		s.alike[key], s.numbers[o.fd] = append(s.alike[key], o), o
		return o
	}
	var by comparison
	at, known := slices.BinarySearchFunc(s.alike[key], o, by.compare)
	switch {
	case by.refused:
		s.alone = append(append(s.alone, s.alike[key]...), o)
		delete(s.alike, key)
	case known:
		o = s.alike[key][at]
	default:
		s.alike[key] = slices.Insert(s.alike[key], at, o)
	}
	return o
}

// settle finds out which descriptions are the same, and sets their field same.
//
// Preconditions: Look has added the descriptions of all members.
func (s *Seen) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = true
	for key, all := range s.alike {
		if len(all) == 1 {
			continue
		}
		var by comparison
		sorted := by.sort(all, s.ranks)
		if by.refused {
			for _, o := range all {
				o.same = nil
			}
			s.alone = append(s.alone, all...)
			delete(s.alike, key)
			continue
		}
		s.alike[key] = sorted
	}
}

// order returns the ranks for another capture of the same group.
func (s *Seen) order() map[descriptor]int {
	ranks := make(map[descriptor]int)
	for _, all := range s.alike {
		for _, o := range all {
			ranks[descriptor{o.member.live(), o.fd}] = len(ranks)
		}
	}
	return ranks
}

// differed tells whether an earlier capture found two descriptions where there may be one now. Then it is not worth while to compare
// them before settle does.
func (s *Seen) differed(o *open, m *Member, number int) bool {
	a, known := s.ranks[descriptor{o.member.live(), o.fd}]
	if !known {
		return false
	}
	b, known := s.ranks[descriptor{m.live(), number}]
	return known && a != b
}
