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

// SaveFrozen saves what must be read while the members are frozen: memory that a fork leaves out, and shared objects that can be
// reached only through mappings.
func SaveFrozen(members []*Member, w *image.Writer, copies *Copies) error {
	for _, m := range members {
		if err := m.as(func() error { return m.saveNotForked(w) }); err != nil {
			return err
		}
	}
	if err := saveParts(members, w); err != nil {
		return err
	}
	for _, m := range members {
		if err := m.as(func() error { return m.copyCommon(copies) }); err != nil {
			return m.fail(err)
		}
	}
	return nil
}

func (m *Member) saveNotForked(w *image.Writer) error {
	if len(m.plan.frozen) == 0 {
		return nil
	}
	memory, err := openReader(m.Live)
	if err != nil {
		return m.fail(err)
	}
	defer memory.close()
	var all pages
	if small, runs := allSmall(m.plan.frozen); small {
		all.anonymous = runs
	} else {
		pagemap, err := proc.OpenPagemap(m.Live)
		if err != nil {
			return m.fail(err)
		}
		defer pagemap.Close()
		if all, err = m.pages(m.plan.frozen, pagemap); err != nil {
			return err
		}
	}
	space := image.ProcessSpace(m.process.Pid)
	if err := w.PutSync(space, all.ofFiles, memory.readFile); err != nil {
		return err
	}
	return w.PutSync(space, all.anonymous, memory.read)
}

// smallMost is the size of an area that is read without asking which of its pages exist. The resident has such an area in each
// process (shim/own.c). The writer of the image leaves out pages of zeroes.
const smallMost = 4 * image.PageSize

// allSmall returns the areas as runs if all are small, and of anonymous memory without huge pages.
func allSmall(areas []area) (small bool, runs []image.Run) {
	for _, a := range areas {
		if a.saved != proc.Anonymous || a.whole || a.huge || a.end-a.start > smallMost {
			return false, nil
		}
		runs = append(runs, image.Run{Start: a.start, Length: a.end - a.start})
	}
	return true, runs
}

// saveParts saves the shared objects that have no descriptor. The mappings of all members together show what can still be reached
// of an object. A shared mapping always shows the object, so it comes first. A private mapping shows the object only at pages of
// which it has no copies.
func saveParts(members []*Member, w *image.Writer) error {
	var all []part
	for _, m := range members {
		for _, p := range m.plan.parts {
			if !m.Table.HasSource(p.object) { // the executable of a member may be a source since the part was planned
				all = append(all, p)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(order(a.entry.Shared), order(b.entry.Shared)),
			cmp.Compare(a.offset, b.offset))
	})
	for len(all) > 0 {
		object := all[0].object
		var done shown
		for len(all) > 0 && all[0].object == object {
			m, p := all[0].member, all[0]
			if err := m.as(func() error { return m.savePart(w, p, &done) }); err != nil {
				return m.fail(err)
			}
			all = all[1:]
		}
	}
	return nil
}

// shown is what the mappings of an object have shown so far, as offsets.
type shown struct {
	shared []image.Run // through shared mappings, whether the pages exist or not
	saved  []image.Run
}

// savePart saves the pages of a shared object that this mapping shows and no earlier mapping showed.
func (m *Member) savePart(w *image.Writer, p part, done *shown) error {
	all := []image.Run{{Start: p.offset, Length: p.entry.Size()}}
	left := image.Subtract(all, done.shared)
	if len(left) == 0 {
		return nil
	}
	shift := p.offset - p.entry.Start // from an address to an offset in the object
	var there []image.Run
	for _, r := range moved(left, -shift) {
		found, err := m.inCore(p, r)
		if err != nil {
			return err
		}
		there = append(there, found...)
	}
	if p.entry.Shared {
		done.shared = union(done.shared, left)
	} else {
		var err error
		if there, err = m.withoutCopies(p, there); err != nil {
			return err
		}
	}
	runs := image.Subtract(moved(there, shift), done.saved)
	if len(runs) == 0 {
		return nil
	}
	done.saved = union(done.saved, runs)
	memory, err := openReader(m.Live)
	if err != nil {
		return err
	}
	defer memory.close()
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
	return image.Subtract(runs, copies), nil
}

// moved returns the runs with their addresses increased by by.
func moved(runs []image.Run, by uint64) []image.Run {
	all := slices.Clone(runs)
	for i := range all {
		all[i].Start += by
	}
	return all
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

// inCore lists the pages of a range of a part that exist in the shared object. Reading a page that does not exist would create it.
// The initiator makes the call, because mincore(2) works only on the caller's own memory. mincore does not report pages that are
// swapped out, so if there are any, inCore lists all pages.
func (m *Member) inCore(p part, within image.Run) ([]image.Run, error) {
	start, end := within.Start, within.End()
	onDisk := m.Table.Memory[p.object-1].Kind == image.MemoryFile // pages that are not in the page cache are in the file
	lesser := m.As != nil && !p.entry.Has("mw")                   // its resident could say that pages do not exist which it may not change
	if p.entry.Swap > 0 || p.entry.Has("ht") || onDisk || lesser {
		return []image.Run{within}, nil
	}
	page := uint64(os.Getpagesize())
	var runs []image.Run
	vec := make([]byte, mincoreStep)
	for at := start; at < end; at += mincoreStep * page {
		n := min((end-at)/page, mincoreStep)
		call := abi.Call{Number: unix.SYS_MINCORE, Relative: abi.Data(2), Args: [6]uint64{at, n * page, 0}}
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
		f, err := c.Open()
		if err == nil {
			err = saveFile(w, image.MemorySpace(c.Memory), f, image.PageAlign(uint64(c.Size)))
			f.Close()
		}
		if err != nil {
			return fmt.Errorf("memory object %d: %w", c.Memory, err)
		}
	}
	return nil
}

// saveFile saves the first bytes of a file, without its holes.
func saveFile(w *image.Writer, space image.Space, f *fd.Source, size uint64) error {
	runs, err := f.Runs(int64(size))
	if err != nil {
		return err
	}
	if n := len(runs); n > 0 {
		runs[n-1].Length = min(runs[n-1].End(), size) - runs[n-1].Start
	}
	return w.PutSync(space, runs, func(dst []byte, runs []image.Run) error {
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
