package dump

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// saveParts saves the shared objects that have no descriptor. The mappings of all members together show what can still be reached
// of an object. A shared mapping always shows the object, so it comes before private ones. A private mapping shows the object only at pages of
// which it has no copies.
func saveParts(members []*Member, w *image.Writer) error {
	var all []part
	for _, m := range members {
		for _, p := range m.plan.parts {
			if !m.Table.HasSource(p.object) { // the executable of a member may be a source since the part was planned
				all = append(all, p)
			}
		}
		rests, detach, err := m.attachRests()
		if err != nil {
			return err
		}
		defer detach()
		all = append(all, rests...)
	}
	slices.SortStableFunc(all, byTrust)
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

// byTrust compares parts: those of one object follow each other, in the order in which they are read. A member of another user that may only
// read an object comes last, because this user could replace the mapping while it is read. So the bytes of the object are read from
// a member that may write to it, if there is one.
func byTrust(a, b part) int {
	return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(order(!a.onlyReads()), order(!b.onlyReads())),
		cmp.Compare(order(a.entry.Shared), order(b.entry.Shared)), cmp.Compare(a.offset, b.offset))
}

// onlyReads tells whether the member is of another user, and may not write to the object.
func (p part) onlyReads() bool { return p.member.As != nil && !p.entry.Has("mw") }

// mostOnlyRead is the most bytes that crak reads of an object that only members of onlyReads have mapped. crak reads all of its pages, also
// those that do not exist, and reading creates them. A larger object would keep the members frozen, and could fill the machine's memory.
const mostOnlyRead = 1 << 30

// refuseOnlyRead refuses two kinds of shared objects that only members of another user have mapped, and may only read: a segment of
// System V, because a restart by root would write what these members show into the segment; and an object that is too large.
func refuseOnlyRead(members []*Member) {
	written, read := make(map[image.MemoryID]bool), make(map[image.MemoryID]part)
	for _, m := range members {
		for _, p := range m.plan.parts {
			if !p.onlyReads() {
				written[p.object] = true
			} else if p.entry.Size() >= read[p.object].entry.Size() {
				read[p.object] = p
			}
		}
	}
	for id, p := range read {
		m, o := p.member, &p.member.Table.Memory[id-1]
		refuse := func(what, why, do string) {
			m.Table.Obstacles = append(m.Table.Obstacles, obstacle.Obstacle{Pid: m.Pid, What: what,
				Why: fmt.Sprintf("user %d may only read it, %s", m.status.Uid[1], why), Do: do})
		}
		switch {
		case written[id]:
		case o.Kind == image.MemorySysV && o.SysV.UID != m.status.Uid[1]:
			refuse(fmt.Sprintf("SysV shared memory %d", o.SysV.ID), "and no other process of the program has it attached", "detach it (shmdt(2))")
		case p.entry.Size() > mostOnlyRead && !m.Table.HasSource(id):
			refuse("shared memory at "+whereOf(p.entry), fmt.Sprintf("no other process of the program has it mapped, and it is larger than %d MiB", mostOnlyRead>>20),
				"unmap it (munmap(2)), or keep a descriptor of it open")
		}
	}
}

// shown is what the mappings of an object have shown so far, as offsets.
type shown struct {
	shared []image.Run // through shared mappings, whether the pages exist or not
	saved  []image.Run
}

// savePart saves the pages of a shared object that this mapping shows and no earlier mapping showed.
func (m *Member) savePart(w *image.Writer, p part, done *shown) error {
	end := min(p.offset+p.entry.Size(), image.PageAlign(m.Table.Memory[p.object-1].Size))
	if p.offset >= end {
		return nil
	}
	all := []image.Run{{Start: p.offset, Length: end - p.offset}}
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
	// The resident of a member that only reads could say that pages do not exist.
	if p.entry.Swap > 0 || p.entry.Has("ht") || onDisk || p.onlyReads() {
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
