package fd

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/kcmp"
	"crak.dev/crak/internal/rights"
)

// A comparison compares descriptions by kcmp(2), which puts them in an order.
type comparison struct {
	refused bool // kcmp(2) has failed, so no result means anything
}

func (by *comparison) compare(a, b *open) int {
	order, err := compareFiles(a.member.live(), a.fd, b.member.live(), b.fd)
	by.refused = by.refused || err != nil
	return order
}

// sort sorts descriptions, and returns those that are different. It sets the field same of each other one.
//
// The pause of a program with thousands of descriptors depends on the number of comparisons. ranks is the order in which an earlier sort
// found descriptors. Where it is still right, each description is compared only with the one before it.
func (by *comparison) sort(all []*open, ranks map[descriptor]int) []*open {
	sorted, rest := by.chain(all, ranks)
	slices.SortFunc(rest, by.compare)
	rest = slices.CompactFunc(rest, by.same)
	if len(rest) == 0 {
		return sorted
	}
	merged := make([]*open, 0, len(sorted)+len(rest))
	for _, o := range rest {
		at, known := slices.BinarySearchFunc(sorted, o, by.compare)
		merged, sorted = append(merged, sorted[:at]...), sorted[at:]
		if known {
			o.same = sorted[0]
		} else {
			merged = append(merged, o)
		}
	}
	return append(merged, sorted...)
}

// same tells whether o is the description before it, and notes that it is.
func (by *comparison) same(o, first *open) bool {
	if by.compare(first, o) != 0 {
		return false
	}
	o.same = first
	return true
}

// chain returns the descriptions whose ranks agree with kcmp(2), sorted, and the rest. It leaves out those that are the same as the
// one before.
func (by *comparison) chain(all []*open, ranks map[descriptor]int) (sorted, rest []*open) {
	type ranked struct {
		*open
		rank int
	}
	var known []ranked
	for _, o := range all {
		if rank, ok := ranks[descriptor{o.member.live(), o.fd}]; ok {
			known = append(known, ranked{o, rank})
		} else {
			rest = append(rest, o)
		}
	}
	slices.SortStableFunc(known, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	for _, o := range known {
		last := len(sorted) - 1
		if last < 0 {
			sorted = append(sorted, o.open)
			continue
		}
		switch by.compare(sorted[last], o.open) {
		case -1:
			sorted = append(sorted, o.open)
		case 0:
			o.same = sorted[last]
		default: // one of the two has the wrong rank
			if last > 0 && by.compare(sorted[last-1], o.open) < 0 {
				sorted[last], o.open = o.open, sorted[last]
			}
			rest = append(rest, o.open)
		}
	}
	return sorted, rest
}

// isSame tells whether two descriptors have the same description. It is false if the kernel does not tell.
func isSame(a, fdA, b, fdB int) bool {
	order, err := compareFiles(a, fdA, b, fdB)
	return err == nil && order == 0
}

func compareFiles(a, fdA, b, fdB int) (order int, err error) {
	return comparing(func() (int, error) { return kcmp.Files(a, fdA, b, fdB) })
}

// comparing compares two objects. The calling thread may have the rights of one member alone (Member.As), which do not suffice if the
// other process belongs to another user.
func comparing(ask func() (int, error)) (order int, err error) {
	if order, err = ask(); err == unix.EPERM {
		rights.Own(func() { order, err = ask() })
	}
	return order, err
}
