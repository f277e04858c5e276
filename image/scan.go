package image

import (
	"fmt"
	"io"
)

// extent is the part of pages.idx that has the frames of a space.
type extent struct {
	begin  indexPlace
	end    uint64 // number after the last frame
	length int64  // bytes
	totals Totals
}

// indexPlace is a place between two frames of pages.idx.
type indexPlace struct {
	frame  uint64 // number of the next frame
	at     int64  // offset in bytes
	spaces int    // how many spaces were named before
}

// scan is the result of one pass over pages.idx.
type scan struct {
	extent map[Space]extent
	spaces []Space // in the order of their records
	totals Totals
}

// scanIndex reads the whole pages.idx and checks it against the group: each run must be inside its space.
func scanIndex(r io.Reader, size int64, g *Group) (*scan, error) {
	x, err := newIndexReader(r, size)
	if err != nil {
		return nil, err
	}
	s := &scan{extent: make(map[Space]extent)}
	bounds := newBounds(g)
	var f Frame
	for n := uint64(0); ; n++ {
		here := indexPlace{n, x.at, len(x.spaces)}
		err := x.next(&f)
		if err == io.EOF {
			s.totals, s.spaces = x.totals, x.spaces
			if err := bounds.sameCheck.check(bounds); err != nil {
				return nil, err
			}
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		if err := bounds.check(&f); err != nil {
			return nil, fmt.Errorf("frame %d: %w", n, err)
		}
		e, ok := s.extent[f.Space]
		if !ok {
			e.totals.Spaces = 1
			e.begin = here
		}
		e.end = n + 1
		e.length = x.at - e.begin.at
		e.totals.add(&f)
		s.extent[f.Space] = e
	}
}
