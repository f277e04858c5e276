package image

import (
	"errors"
	"fmt"
)

// coverage is the set of the pages of all spaces that have been in a frame. It has one bit per page, in blocks. So the time to add
// a run does not depend on the order of the runs, and 1 TiB of content takes 50 MiB.
type coverage struct {
	index map[blockID]uint32 // index of the block in slabs
	slabs []*[slabBlocks]block
	last  blockID // found last, at
	found *block
}

type blockID struct {
	space  uint32
	number uint64 // address / blockBytes
}

// A block has one bit per page.
type block [blockPages / 64]uint64

const (
	blockPages = 512
	blockBytes = blockPages * PageSize
	slabBlocks = 1024

	maxBlocks = 1 << 21 // with content: 4 TiB
)

var errScattered = errors.New("content in more places than an image can have")

// add adds a run to the set, or returns an error if a page of it is in the set. Preconditions: the run starts on a page boundary.
func (c *coverage) add(space uint32, r Run) error {
	end := (r.End() + PageSize - 1) / PageSize
	for page := r.Start / PageSize; page < end; {
		b, err := c.block(blockID{space, page / blockPages})
		if err != nil {
			return err
		}
		bit := page % 64
		n := min(64-bit, end-page)
		mask := ^uint64(0) >> (64 - n) << bit
		word := &b[page%blockPages/64]
		if *word&mask != 0 {
			return fmt.Errorf("%v: saved before", r)
		}
		*word |= mask
		page += n
	}
	return nil
}

// at returns a block, or nil if it has no pages.
func (c *coverage) at(id blockID) *block {
	at, ok := c.index[id]
	if !ok {
		return nil
	}
	return &c.slabs[at/slabBlocks][at%slabBlocks]
}

// block returns a block and makes it if it is new.
func (c *coverage) block(id blockID) (*block, error) {
	if c.found != nil && c.last == id {
		return c.found, nil
	}
	at, ok := c.index[id]
	if !ok {
		at = uint32(len(c.index))
		if at == maxBlocks {
			return nil, errScattered
		}
		if c.index == nil {
			c.index = make(map[blockID]uint32)
		}
		c.index[id] = at
		if at%slabBlocks == 0 {
			c.slabs = append(c.slabs, new([slabBlocks]block))
		}
	}
	c.last, c.found = id, &c.slabs[at/slabBlocks][at%slabBlocks]
	return c.found, nil
}
