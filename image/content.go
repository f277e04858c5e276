package image

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// Content reads one space at any address, for inspection and tests. It keeps a list of all runs of the space in memory.
type Content struct {
	image *Image
	parts []part // sorted by start

	mu     sync.Mutex
	unpack unpacker
	held   *Frame // the frame whose content is in data
	data   []byte
	source *Content // content of the process that has some of this content; nil until it is needed
}

// part is one run of a frame.
type part struct {
	Run
	skip  uint64 // offset in the frame's content, in bytes
	frame *Frame
}

// Content returns a reader of the content of a space.
func (i *Image) Content(s Space) (*Content, error) {
	c := &Content{image: i, unpack: unpacker{pages: i.pages}}
	for f, err := range i.Frames(s) {
		if err != nil {
			return nil, err
		}
		own := *f
		own.Runs = nil
		skip := uint64(0)
		for _, r := range f.Runs {
			c.parts = append(c.parts, part{r, skip, &own})
			skip += r.Length
		}
	}
	slices.SortFunc(c.parts, func(a, b part) int { return cmp.Compare(a.Start, b.Start) })
	return c, nil
}

// ReadAt implements io.ReaderAt. Offsets are addresses of the space. Pages that are not in the image read as zeroes. There is no
// end of file.
func (c *Content) ReadAt(p []byte, address int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(p)
	start, end := uint64(address), uint64(address)+uint64(len(p))
	n, _ := slices.BinarySearchFunc(c.parts, start, func(t part, a uint64) int {
		if t.End() <= a {
			return -1
		}
		return 1
	})
	for _, t := range c.parts[n:] {
		if t.Start >= end {
			break
		}
		if t.frame.Codec == CodecSame {
			if err := c.fromSource(t, p, start); err != nil {
				return 0, err
			}
			continue
		}
		if err := c.hold(t.frame); err != nil {
			return 0, err
		}
		content := c.data[t.skip:][:t.Length]
		if t.Start < start {
			copy(p, content[start-t.Start:])
		} else {
			copy(p[t.Start-start:], content)
		}
	}
	return len(p), nil
}

// fromSource reads a part from the other process that has its content. The part begins at start.
func (c *Content) fromSource(t part, p []byte, start uint64) (err error) {
	if c.source == nil {
		if c.source, err = c.image.Content(t.frame.Source); err != nil {
			return err
		}
	}
	from, to := max(t.Start, start), min(t.End(), start+uint64(len(p)))
	_, err = c.source.ReadAt(p[from-start:to-start], int64(from))
	return err
}

// Runs returns the ranges of the space that the image has, sorted; adjacent ranges are joined.
func (c *Content) Runs() (runs []Run) {
	for _, t := range c.parts {
		runs = appendRun(runs, t.Run)
	}
	return runs
}

func (c *Content) hold(f *Frame) (err error) {
	if c.held == f {
		return nil
	}
	c.held = nil
	if c.data, err = c.unpack.content(f); err != nil {
		return &Error{c.image.Path, pagesFile, fmt.Errorf("frame at offset %d: %w", f.Offset, err)}
	}
	c.held = f
	return nil
}
