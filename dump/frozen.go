package dump

import (
	"errors"
	"fmt"
	"io"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
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
	space := image.ProcessSpace(m.process.Pid)
	if small, runs := allSmall(m.plan.frozen); small {
		return w.PutSync(space, runs, m.readSmall)
	}
	memory, err := openReader(m.Live)
	if err != nil {
		return m.fail(err)
	}
	defer memory.close()
	pagemap, err := proc.OpenPagemap(m.Live)
	if err != nil {
		return m.fail(err)
	}
	defer pagemap.Close()
	all, err := m.pages(m.plan.frozen, pagemap)
	if err != nil {
		return err
	}
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

// readSmall reads areas that a fork leaves out. The twin does not have them, so process_vm_readv(2) may pin their pages for a moment.
// It cannot read protected pages.
func (m *Member) readSmall(dst []byte, runs []image.Run) error {
	rest := dst
	for i, r := range runs {
		if m.readMemory(r.Start, rest[:r.Length]) == nil {
			rest = rest[r.Length:]
			continue
		}
		memory, err := openReader(m.Live)
		if err != nil {
			return m.fail(err)
		}
		defer memory.close()
		return memory.read(rest, runs[i:])
	}
	return nil
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
