package dump

import (
	"bytes"
	"errors"
	"hash/maphash"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// ErrChanged means that mappings have flags that had to be known during the freeze, but were read before it and have changed, or
// that the executable has. The checkpoint must be made again after Known.Forget: then Read reads all of that during the freeze.
var ErrChanged = errors.New("the program's mappings, or its executable, were changed as it was frozen")

// readMappings reads the list of VMAs. The flags that madvise and mlock set are only in smaps. Reading smaps is slow, because
// the kernel counts every page for its other lines: 40 ms for 1 GiB. So smaps is read before the freeze (Known), and only maps
// during the freeze. The flags of a VMA that is new or has changed since are read from the twin's smaps, when the program runs
// again (Confirm). If that would be too late, smaps is read during the freeze.
func (m *Member) readMappings() error {
	if m.Known.Mappings != nil && m.status.VmLck == 0 {
		text, err := proc.ReadFile(m.path("maps"))
		if err != nil {
			return err
		}
		if m.Known.maps != 0 && maphash.Bytes(mapsSeed, text) == m.Known.maps && !(swapping() && slices.ContainsFunc(m.Known.Mappings, isObjectEntry)) {
			m.entries, m.fresh, m.quick = m.Known.Mappings, nil, true // most mappings of most programs stay the same
			return nil
		}
		maps, err := proc.Maps(bytes.NewReader(text))
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

var mapsSeed = maphash.MakeSeed()

// sumOfMappings is a checksum of the file maps, or 0 if the mappings in it are not those in entries. The program may have changed
// them since.
func (m *Member) sumOfMappings() uint64 {
	text, err := proc.ReadFile(m.path("maps"))
	if err != nil {
		return 0
	}
	maps, err := proc.Maps(bytes.NewReader(text))
	if err != nil || !slices.EqualFunc(maps, m.entries, func(now proc.Mapping, e proc.SmapsEntry) bool { return now == e.Mapping }) {
		return 0
	}
	return maphash.Bytes(mapsSeed, text)
}

// swapping reports whether pages are swapped out. Then smaps must be read during the freeze: only it shows which shared
// memory is swapped out.
func swapping() bool {
	var info unix.Sysinfo_t
	return unix.Sysinfo(&info) != nil || info.Freeswap != info.Totalswap
}

// withFlags adds the flags from known to the list of VMAs. It also returns the starts of the VMAs whose flags are not known. It
// returns nil if such flags must be known before the twin is made.
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

// sameVMA reports whether a VMA is the same as a known one. A stack may have grown since.
func sameVMA(now proc.Mapping, known proc.SmapsEntry) bool {
	before := known.Mapping
	if known.Has("gd") && now.Start < before.Start {
		before.Start = now.Start
	}
	return now == before
}

func isObjectEntry(e proc.SmapsEntry) bool { return isObject(e.Mapping) }

// isObject reports whether the content of a VMA belongs to a memory object, which a fork shares. It is read during the freeze,
// and the flags say how.
func isObject(v proc.Mapping) bool { return isMemory(v) || v.Shared && v.Deleted }

// compared lists the flags that a fork keeps. Two flags need no comparison: a locked VMA is counted in VmLck, and a VMA that a
// fork leaves out is missing in the twin.
var compared = []string{"gd", "nr", "wf", "dd", "hg", "nh", "mg", "sr", "rr", "ht", "gu", "mw", "io", "pf"}

// decisive lists the flags that decide whether and how a VMA is saved. Reading them from the twin is too late.
var decisive = []string{"wf", "dp", "ht", "io", "pf", "um", "uw"}

// Confirm checks that the flags that were read before the freeze were still true at the freeze, and records the flags that were
// not known. It reads them from process pid, which is the twin or the frozen member itself. It returns ErrChanged if it finds
// flags that had to be known earlier. It also records what else process pid shows as well as the frozen member does.
func (m *Member) Confirm(pid int) error {
	if err := m.inherited(pid); err != nil {
		return m.fail(err)
	}
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

// complete records the flags of a VMA that were not known during the freeze. A VMA with a protection key is ErrChanged, too: the
// next attempt refuses it.
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
	return nil // [vsyscall] has no record
}
