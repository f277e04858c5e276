package dump

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// ErrChanged means that a program's mappings have flags that had to be known while it was frozen, and were not. With
// Known.Mappings left empty, Capture reads them all then.
var ErrChanged = errors.New("the program's mappings were changed as it was frozen")

// readMappings reads the list of VMAs. What madvise and mlock have said of one is in smaps alone, which counts
// every page for its other lines: 40 ms for 1 GiB. So smaps was read when the program still ran (Known),
// and only the list is read while the program is frozen. The flags of a VMA that is new, or has become another one since,
// are read from the twin's smaps when the program runs again (Confirm). Where that cannot be, smaps is read under freeze.
func (m *Member) readMappings() error {
	if m.Known.Mappings != nil && m.status.VmLck == 0 {
		maps, err := proc.Read(m.Live, "maps", proc.Maps)
		if err != nil {
			return err
		}
		if m.entries, m.fresh = withFlags(maps, m.Known.Mappings); m.entries != nil {
			m.quick = true
			return nil
		}
	}
	var err error
	m.entries, err = proc.Read(m.Live, "smaps", proc.Smaps)
	if err != nil {
		return err
	}
	m.fresh = make(map[uint64]bool)
	for _, e := range m.entries {
		m.fresh[e.Start] = true
	}
	return nil
}

// swapping: which shared pages are swapped out, only a fresh smaps tells.
func swapping() bool {
	var info unix.Sysinfo_t
	return unix.Sysinfo(&info) != nil || info.Freeswap != info.Totalswap
}

// withFlags is the list with the flags it had when it was known, and the starts of those VMAs whose flags are not known.
// It is nil where flags have to be known before the twin is made.
func withFlags(maps []proc.Mapping, known []proc.SmapsEntry) ([]proc.SmapsEntry, map[uint64]bool) {
	all := make([]proc.SmapsEntry, 0, len(maps))
	fresh := make(map[uint64]bool)
	swaps := swapping()
	for _, now := range maps {
		for len(known) > 0 && known[0].End <= now.Start {
			known = known[1:]
		}
		e := proc.SmapsEntry{Mapping: now}
		switch {
		case isObject(now) && swaps:
			return nil, nil
		case len(known) > 0 && sameVMA(now, known[0]):
			e = known[0]
			e.Mapping = now
		case isObject(now):
			return nil, nil
		default:
			fresh[now.Start] = true
		}
		all = append(all, e)
	}
	return all, fresh
}

// sameVMA tells whether a VMA is the one that was known. A stack may have grown.
func sameVMA(now proc.Mapping, known proc.SmapsEntry) bool {
	before := known.Mapping
	if known.Has("gd") && now.Start < before.Start {
		before.Start = now.Start
	}
	return now == before
}

// isObject tells whether the content of a VMA belongs to a memory object, which a fork shares: it is read under freeze, and
// how depends on flags.
func isObject(v proc.Mapping) bool { return isMemory(v) || v.Shared && v.Deleted }

// compared are the flags that a fork keeps. Of the others, a locked VMA is counted in VmLck, and one
// that a fork leaves out is missing.
var compared = []string{"gd", "nr", "wf", "dd", "hg", "nh", "mg", "sr", "rr", "ht", "gu", "mw", "io", "pf"}

// decisive are the flags that say how, or whether, a VMA is saved: the twin is too late for it.
var decisive = []string{"wf", "dp", "ht", "io", "pf", "um", "uw"}

// Confirm makes sure that the flags from before the freeze were still true: process pid, the twin or the frozen member
// itself, has them as they were then. It records the flags that were not known. ErrChanged if that comes too late.
func (m *Member) Confirm(pid int) error {
	if !m.quick {
		return nil
	}
	entries, err := proc.Read(pid, "smaps", proc.Smaps)
	if err != nil {
		return m.fail(err)
	}
	assumed := slices.Clone(m.entries)
	if pid != m.Live {
		assumed = slices.DeleteFunc(assumed, func(e proc.SmapsEntry) bool { return e.Has("dc") })
	}
	if len(entries) != len(assumed) {
		return m.fail(ErrChanged)
	}
	for i, e := range entries {
		if e.Start != assumed[i].Start || e.End != assumed[i].End {
			return m.fail(ErrChanged)
		}
		if m.fresh[e.Start] {
			if err := m.complete(pid, e); err != nil {
				return m.fail(err)
			}
			continue
		}
		for _, flag := range compared {
			if e.Has(flag) != assumed[i].Has(flag) {
				return m.fail(ErrChanged)
			}
		}
	}
	return nil
}

// complete records the flags of a VMA that were not known under freeze. (A protection key would be refused.)
func (m *Member) complete(pid int, e proc.SmapsEntry) error {
	if e.ProtectionKey != 0 || slices.ContainsFunc(decisive, e.Has) || pid == m.Live && e.Has("dc") {
		return ErrChanged
	}
	for i := range m.process.Mappings {
		v := &m.process.Mappings[i]
		if uint64(v.Start) == e.Start {
			setFlags(v, e)
			var err error
			v.Guards, err = guards(pid, e)
			return err
		}
	}
	return nil // [vsyscall]
}
