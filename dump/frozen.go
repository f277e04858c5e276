package dump

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
)

// SaveFrozen saves what has to be read while the member is frozen: memory that a fork leaves
// out, and shared objects that only its mappings lead to.
func (m *Member) SaveFrozen(w *image.Writer) error {
	if err := m.save(w.PutSync, m.plan.frozen, m.Pid); err != nil {
		return err
	}
	seen := make(map[image.MemoryID]uint64) // up to where each object has been saved
	slices.SortFunc(m.plan.parts, func(a, b part) int {
		if a.object != b.object {
			return int(a.object) - int(b.object)
		}
		return int(int64(a.offset) - int64(b.offset))
	})
	for _, p := range m.plan.parts {
		if err := m.savePart(w, p, seen); err != nil {
			return m.fail(err)
		}
	}
	return nil
}

// savePart saves what a mapping shows of a shared object and no earlier one did.
func (m *Member) savePart(w *image.Writer, p part, seen map[image.MemoryID]uint64) error {
	start, end := p.entry.Start, p.entry.End
	if done := seen[p.object]; done > p.offset {
		start += min(done-p.offset, end-start)
	}
	if start >= end {
		return nil
	}
	seen[p.object] = p.offset + p.entry.Size()
	shift := p.offset - p.entry.Start // from an address to an offset in the object
	runs, err := m.inCore(start, end, p)
	if err != nil {
		return err
	}
	for i := range runs {
		runs[i].Start += shift
	}
	memory := &reader{pid: m.Pid}
	return w.PutSync(image.MemorySpace(p.object), runs, func(dst []byte, runs []image.Run) error {
		there := slices.Clone(runs)
		for i := range there {
			there[i].Start -= shift
		}
		if p.entry.Prot&unix.PROT_READ == 0 {
			return memory.forced(dst, there)
		}
		return memory.plain(dst, there)
	})
}

// mincoreStep is how many pages one mincore call is asked of: a byte of data each.
const mincoreStep = 16384

// inCore lists the pages of a shared object that exist (mincore(2), made by the leader: others
// may not ask). To read the others would make them. What is swapped out is not in core, so then all are read.
func (m *Member) inCore(start, end uint64, p part) ([]image.Run, error) {
	onDisk := m.Table.Memory[p.object-1].Kind == image.MemoryFile // what is not in the page cache is in the file
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

// SaveContents saves the objects of a group that a descriptor leads to. Nothing
// copies them on write, so this, too, is done while everyone is frozen.
func SaveContents(w *image.Writer, table *fd.Table) error {
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
	runs, err := data(f, c.Size)
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

// data lists the parts of a file that are not holes, in whole pages (lseek(2), SEEK_DATA).
func data(f *os.File, size int64) ([]image.Run, error) {
	var runs []image.Run
	for at := int64(0); at < size; {
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return nil, err
		}
		end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return nil, err
		}
		r := image.Run{Start: uint64(start) &^ (image.PageSize - 1)} // blocks may be smaller than pages
		if last := len(runs) - 1; last >= 0 {
			r.Start = max(r.Start, runs[last].End())
		}
		if r.Start < uint64(end) {
			r.Length = pages(uint64(end)) - r.Start
			runs = append(runs, r)
		}
		at = end
	}
	return runs, nil
}
