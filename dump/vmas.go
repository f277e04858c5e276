package dump

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// ErrChanged means that a program changed the flags of its mappings between Survey and the freeze. With
// Known.Mappings left empty, Capture needs no luck.
var ErrChanged = errors.New("the program's mappings were changed as it was frozen")

// readMappings reads the list of VMAs. What madvise and mlock have said of one is in smaps alone, which counts
// every page for its other lines: 40 ms for 1 GiB. So that was read when the program still ran (Known),
// and what is read while it stands still is the list only. Where the two differ in more than a stack that has
// grown, smaps is read after all; where flags alone have changed, Confirm finds out.
func (m *Member) readMappings() error {
	if m.Known.Mappings != nil && m.status.VmLck == 0 && !swapping() {
		maps, err := proc.Read(m.Live, "maps", proc.Maps)
		if err != nil {
			return err
		}
		if m.entries = withFlags(maps, m.Known.Mappings); m.entries != nil {
			m.quick = true
			return nil
		}
	}
	var err error
	m.entries, err = proc.Read(m.Live, "smaps", proc.Smaps)
	return err
}

// swapping: which shared pages are swapped out, only a fresh smaps tells.
func swapping() bool {
	var info unix.Sysinfo_t
	return unix.Sysinfo(&info) != nil || info.Freeswap != info.Totalswap
}

// withFlags is the list with the flags it had when it was known; nil where it is another list.
func withFlags(maps []proc.Mapping, known []proc.SmapsEntry) []proc.SmapsEntry {
	if len(maps) != len(known) {
		return nil
	}
	all := slices.Clone(known)
	for i, now := range maps {
		before := all[i].Mapping
		if all[i].Has("gd") && now.Start < before.Start {
			before.Start = now.Start
		}
		if now != before {
			return nil
		}
		all[i].Mapping = now
	}
	return all
}

// compared are the flags that a fork keeps. Of the others, a locked VMA is counted in VmLck, and one
// that a fork leaves out is missing.
var compared = []string{"gd", "nr", "wf", "dd", "hg", "nh", "mg", "sr", "rr", "ht", "gu", "mw", "io", "pf"}

// Confirm makes sure that the flags from before the freeze were still true: process pid, the twin or the frozen member
// itself, has them as they were then. ErrChanged if not.
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
		for _, flag := range compared {
			if e.Has(flag) != assumed[i].Has(flag) {
				return m.fail(ErrChanged)
			}
		}
	}
	return nil
}
