package image

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"
)

// Like is the memory of another process that has some of the content at the same addresses: after fork(2) two processes share
// pages. The writer stores such a page once. The caller also puts every page of the runs for Space, with the content that Read
// reads.
type Like struct {
	Space Space
	Read  func(dst []byte, runs []Run) error
}

// LikeMost is the length of the longest chain in which each process has content from the next one. A reader reads the index once
// for each process of the chain.
const LikeMost = 16

// PutLike is Put, but does not store pages again that are the same in like. like may be nil. pending counts the parts of the content
// that fill and like.Read have not read yet. It may be nil.
func (w *Writer) PutLike(like *Like, space Space, runs []Run, fill func(dst []byte, runs []Run) error, pending *sync.WaitGroup) error {
	j := job{space: space, fill: fill, like: like, pending: pending, compress: w.options.Compress}
	return w.put(j, runs, func(j job) { w.jobs <- j })
}

// leaveOutSame moves the pages that differ from those of like to the front of raw and returns them. k.data gets the runs of these
// pages, and k.same the runs of all other pages.
func (k *packer) leaveOutSame(raw []byte, like *Like) []byte {
	k.same = k.same[:0]
	if like == nil || len(raw) == 0 {
		return raw
	}
	if len(k.other) < len(raw) {
		k.other = make([]byte, frameBytes)
	}
	other := k.other[:len(raw)]
	if like.Read(other, k.data) != nil {
		return raw
	}
	runs := k.data
	k.data = nil
	kept, at := 0, 0
	for _, r := range runs {
		for ; r.Length > 0; at += PageSize {
			one := Run{Start: r.Start, Length: PageSize}
			r.Start += PageSize
			r.Length -= PageSize
			page := raw[at : at+PageSize]
			if bytes.Equal(page, other[at:at+PageSize]) {
				k.same = appendRun(k.same, one)
				continue
			}
			copy(raw[kept:], page)
			kept += PageSize
			k.data = appendRun(k.data, one)
		}
	}
	return raw[:kept]
}

// A sameCheck checks the frames of codec "same" of an image: a process has content of at most one other process, a chain of such
// processes is not longer than LikeMost, and the pages are in the image.
type sameCheck struct {
	source map[Space]Space
	pages  coverage
}

func (k *sameCheck) add(f *Frame, number uint32) error {
	if known, ok := k.source[f.Space]; ok && known != f.Source {
		return fmt.Errorf("content of %s: %s has that of %s", f.Source, f.Space, known)
	}
	if k.source == nil {
		k.source = make(map[Space]Space)
	}
	k.source[f.Space] = f.Source
	for _, r := range f.Runs {
		if err := k.pages.add(number, r); err != nil {
			return err
		}
	}
	return nil
}

// check is called after all frames have been added.
func (k *sameCheck) check(b *bounds) error {
	depths := make(map[Space]int)
	for s := range k.source {
		var path []Space
		at, has := s, true
		for ; has && depths[at] == 0; at, has = k.next(at) {
			if len(path) > LikeMost+1 {
				break
			}
			path = append(path, at)
		}
		depth := depths[at] // 0 if the path is too long, or ends at a process that has all of its content itself
		if len(path)+depth > LikeMost+1 {
			return fmt.Errorf("%s: the content comes from itself, or through more than %d others", s, LikeMost)
		}
		for _, at := range slices.Backward(path) {
			depth++
			depths[at] = depth
		}
	}
	sources := make(map[uint32]uint32)
	for s, source := range k.source {
		m := b.spaces[source]
		if m == nil {
			return fmt.Errorf("%s: has the content of %s, which has none", s, source)
		}
		sources[b.spaces[s].number] = m.number
	}
	for id, at := range k.pages.index {
		all := b.seen.at(blockID{sources[id.space], id.number})
		for i, word := range k.pages.slabs[at/slabBlocks][at%slabBlocks] {
			if all == nil && word != 0 || all != nil && word&^all[i] != 0 {
				return fmt.Errorf("pages at %#x: the same as in another process, which has none there", id.number*blockBytes+uint64(i)*64*PageSize)
			}
		}
	}
	return nil
}

func (k *sameCheck) next(s Space) (Space, bool) {
	source, has := k.source[s]
	return source, has
}

// within returns the parts of runs that are in only. only is sorted. It moves their content to the front of data.
func within(runs []Run, data []byte, only []Run) ([]Run, []byte) {
	var kept []Run
	at, from := 0, uint64(0)
	for _, r := range runs {
		n := sort.Search(len(only), func(n int) bool { return only[n].End() > r.Start })
		for ; n < len(only) && only[n].Start < r.End(); n++ {
			start, end := max(r.Start, only[n].Start), min(r.End(), only[n].End())
			if data != nil {
				at += copy(data[at:], data[from+start-r.Start:from+end-r.Start])
			}
			kept = append(kept, Run{Start: start, Length: end - start})
		}
		from += r.Length
	}
	return kept, data[:at]
}

// Subtract returns the parts of runs that are not in without. Both must be sorted, and the result is sorted. It takes
// linear time, because each may have a hundred thousand runs.
func Subtract(runs, without []Run) []Run {
	var left []Run
	for _, r := range runs {
		for len(without) > 0 && without[0].End() <= r.Start {
			without = without[1:]
		}
		at := r.Start
		for _, w := range without {
			if w.Start >= r.End() {
				break
			}
			if at < w.Start {
				left = append(left, Run{Start: at, Length: w.Start - at, KeepZero: r.KeepZero})
			}
			at = max(at, w.End())
		}
		if at < r.End() {
			left = append(left, Run{Start: at, Length: r.End() - at, KeepZero: r.KeepZero})
		}
	}
	return left
}

// fill is Fill for some runs of a space; nil means all runs. It leaves out the runs of kept whose content is that of another
// process. kept is sorted.
func (i *Image) fill(ctx context.Context, s Space, only, kept []Run, workers int, fn func(runs []Run, data []byte) error) error {
	var mu sync.Mutex
	var same []Run
	var source Space
	err := i.each(ctx, s, workers, func(f *Frame, data []byte) error {
		runs := f.Runs
		if only != nil {
			if f.Codec == CodecZero { // its content is common to all frames of zeroes
				runs, _ = within(runs, nil, only)
				data = data[:runBytes(runs)]
			} else {
				runs, data = within(runs, data, only)
			}
		}
		if len(runs) == 0 {
			return nil
		}
		if f.Codec != CodecSame {
			return fn(runs, data)
		}
		mu.Lock()
		defer mu.Unlock()
		source = f.Source
		same = append(same, runs...)
		return nil
	})
	if err != nil || len(same) == 0 {
		return err
	}
	slices.SortFunc(same, func(a, b Run) int {
		if a.Start < b.Start {
			return -1
		}
		return 1
	})
	if same = Subtract(same, kept); len(same) == 0 {
		return nil
	}
	return i.fill(ctx, source, same, nil, workers, fn)
}
