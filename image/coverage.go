package image

import (
	"fmt"
	"slices"
	"sort"
)

// coverage is the set of all bytes of one space that frames were seen for: runs, sorted and joined.
// Frames mostly come in order, so that it stays as short as the memory is whole.
type coverage []Run

// add puts a run into the set, unless it overlaps with what is there.
func (c *coverage) add(r Run) error {
	all := *c
	n := len(all)
	if n > 0 && all[n-1].End() > r.Start {
		n = sort.Search(n, func(i int) bool { return all[i].Start >= r.Start })
	}
	if n > 0 && all[n-1].End() > r.Start || n < len(all) && all[n].Start < r.End() {
		return fmt.Errorf("%v: saved before", r)
	}
	joinsLeft := n > 0 && all[n-1].End() == r.Start
	joinsRight := n < len(all) && all[n].Start == r.End()
	switch {
	case joinsLeft && joinsRight:
		all[n-1].Length += r.Length + all[n].Length
		all = slices.Delete(all, n, n+1)
	case joinsLeft:
		all[n-1].Length += r.Length
	case joinsRight:
		all[n].Start = r.Start
		all[n].Length += r.Length
	default:
		all = slices.Insert(all, n, Run{Start: r.Start, Length: r.Length})
	}
	*c = all
	return nil
}
