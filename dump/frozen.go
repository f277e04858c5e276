package dump

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
)

// SaveFrozen saves what must be read while the member is frozen: memory that a fork leaves out, and shared objects that can
// be reached only through the member's mappings.
func (m *Member) SaveFrozen(w *image.Writer) error {
	if len(m.plan.frozen) > 0 {
		memory, err := m.Memory(m.Live)
		if err != nil {
			return err
		}
		if err := m.save(w.PutSync, m.plan.frozen, memory); err != nil {
			return err
		}
	}
	// A shared mapping always shows the object, so it comes first. A private mapping shows the object only at pages of which
	// it has no copies.
	slices.SortStableFunc(m.plan.parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(order(a.entry.Shared), order(b.entry.Shared)),
			cmp.Compare(a.offset, b.offset))
	})
	saved := make(map[image.MemoryID][]image.Run) // offsets of each object
	for _, p := range m.plan.parts {
		if err := m.savePart(w, p, saved); err != nil {
			return m.fail(err)
		}
	}
	return m.copyCommon()
}

// savePart saves the pages of a shared object that this mapping shows and no earlier mapping showed.
func (m *Member) savePart(w *image.Writer, p part, saved map[image.MemoryID][]image.Run) error {
	there, err := m.inCore(p)
	if err != nil {
		return err
	}
	if !p.entry.Shared {
		if there, err = m.withoutCopies(p, there); err != nil {
			return err
		}
	}
	shift := p.offset - p.entry.Start // from an address to an offset in the object
	runs := subtract(moved(there, shift), saved[p.object])
	saved[p.object] = union(saved[p.object], runs)
	memory, err := m.reader(m.Live)
	if err != nil {
		return err
	}
	return w.PutSync(image.MemorySpace(p.object), runs, func(dst []byte, runs []image.Run) error {
		if m.Table.Memory[p.object-1].Kind == image.MemoryFile {
			return memory.readFile(dst, moved(runs, -shift))
		}
		return memory.read(dst, moved(runs, -shift))
	})
}

// withoutCopies leaves out the pages of which a private mapping has its own copies.
func (m *Member) withoutCopies(p part, runs []image.Run) ([]image.Run, error) {
	pagemap, err := proc.OpenPagemap(m.Live)
	if err != nil {
		return nil, err
	}
	defer pagemap.Close()
	copies, err := area{start: p.entry.Start, end: p.entry.End, saved: proc.PrivateFile}.runs(pagemap)
	if err != nil {
		return nil, err
	}
	return subtract(runs, copies), nil
}

// moved returns the runs with their addresses increased by by.
func moved(runs []image.Run, by uint64) []image.Run {
	all := slices.Clone(runs)
	for i := range all {
		all[i].Start += by
	}
	return all
}

// subtract returns the parts of runs that are not in without. Both must be sorted, and the result is sorted. It takes
// linear time, because each may have a hundred thousand runs.
func subtract(runs, without []image.Run) []image.Run {
	var left []image.Run
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
				left = append(left, image.Run{Start: at, Length: w.Start - at, KeepZero: r.KeepZero})
			}
			at = max(at, w.End())
		}
		if at < r.End() {
			left = append(left, image.Run{Start: at, Length: r.End() - at, KeepZero: r.KeepZero})
		}
	}
	return left
}

// union returns the runs of both, sorted.
//
// Preconditions: a and b do not overlap.
func union(a, b []image.Run) []image.Run {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(a, b image.Run) int { return cmp.Compare(a.Start, b.Start) })
	return all
}

// mincoreStep is the number of pages in one mincore call. The answer has one byte a page.
const mincoreStep = 16384

// inCore lists the pages of a shared object that exist. Reading a page that does not exist would create it. The initiator
// makes the call, because mincore(2) works only on the caller's own memory. mincore does not report pages that are swapped
// out, so if there are any, inCore lists all pages.
func (m *Member) inCore(p part) ([]image.Run, error) {
	start, end := p.entry.Start, p.entry.End
	onDisk := m.Table.Memory[p.object-1].Kind == image.MemoryFile // pages that are not in the page cache are in the file
	if p.entry.Swap > 0 || p.entry.Has("ht") || onDisk {
		return []image.Run{{Start: start, Length: end - start}}, nil
	}
	page := uint64(os.Getpagesize())
	var runs []image.Run
	vec := make([]byte, mincoreStep)
	for at := start; at < end; at += mincoreStep * page {
		n := min((end-at)/page, mincoreStep)
		call := abi.Call{Number: unix.SYS_MINCORE, Relative: 1 << 2, Args: [6]uint64{at, n * page, 0}}
		results, err := m.Conn.Calls([]abi.Call{call}, vec[:n])
		if err != nil {
			return nil, err
		}
		if results[0] < 0 {
			return nil, fmt.Errorf("mincore %#x: %w", at, unix.Errno(-results[0]))
		}
		for i, in := range vec[:n] {
			if in&1 == 0 {
				continue
			}
			address := at + uint64(i)*page
			if last := len(runs) - 1; last >= 0 && runs[last].End() == address {
				runs[last].Length += page
			} else {
				runs = append(runs, image.Run{Start: address, Length: page})
			}
		}
	}
	return runs, nil
}

// SaveContents saves the objects of a group that can be reached through descriptors. A fork does not copy them, so this,
// too, is done while all members are frozen.
func SaveContents(w *image.Writer, table *fd.Table) error {
	for _, c := range table.InFlight {
		put := func(dst []byte, runs []image.Run) error {
			for _, r := range runs {
				dst = dst[copy(dst, c.Content[r.Start:r.End()]):]
			}
			return nil
		}
		if err := w.PutSync(image.ObjectSpace(c.Object), []image.Run{{Length: uint64(len(c.Content))}}, put); err != nil {
			return fmt.Errorf("object %d: %w", c.Object, err)
		}
	}
	for _, c := range table.Contents() {
		if err := saveContent(w, c); err != nil {
			return fmt.Errorf("memory object %d: %w", c.Memory, err)
		}
	}
	return nil
}

func saveContent(w *image.Writer, c fd.Content) error {
	f, err := c.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	runs, err := f.Runs(c.Size)
	if err != nil {
		return err
	}
	return w.PutSync(image.MemorySpace(c.Memory), runs, func(dst []byte, runs []image.Run) error {
		for _, r := range runs {
			n, err := f.ReadAt(dst[:r.Length], int64(r.Start))
			if errors.Is(err, io.EOF) {
				clear(dst[n:r.Length])
			} else if err != nil {
				return err
			}
			dst = dst[r.Length:]
		}
		return nil
	})
}
