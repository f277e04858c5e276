package dump

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crak.dev/crak/internal/proc"
)

// TestWithFlags: flags that were read earlier are used only for the same VMA, or for a stack that has grown since. The flags of
// other VMAs are read later, except those of a memory object, which must be known now.
func TestWithFlags(t *testing.T) {
	known := []proc.SmapsEntry{
		{Mapping: proc.Mapping{Start: 1 * page, End: 2 * page, Prot: 3}, VmFlags: "rd wr"},
		{Mapping: proc.Mapping{Start: 3 * page, End: 5 * page, Prot: 1, Shared: true, Inode: 9, Path: "/dev/zero", Deleted: true}},
		{Mapping: proc.Mapping{Start: 8 * page, End: 9 * page, Prot: 3}, VmFlags: "rd wr gd"},
	}
	object := proc.Mapping{Start: 6 * page, End: 7 * page, Shared: true, Inode: 8, Path: "/memfd:x", Deleted: true}
	for name, test := range map[string]struct {
		change func([]proc.Mapping) []proc.Mapping
		fresh  []uint64
		no     bool
	}{
		"same":       {change: func(m []proc.Mapping) []proc.Mapping { return m }},
		"stack":      {change: func(m []proc.Mapping) []proc.Mapping { m[2].Start = 7 * page; return m }},
		"no stack":   {change: func(m []proc.Mapping) []proc.Mapping { m[0].Start = 0; return m }, fresh: []uint64{0}},
		"shrunk":     {change: func(m []proc.Mapping) []proc.Mapping { m[2].End = 8*page + 1; return m }, fresh: []uint64{8 * page}},
		"protection": {change: func(m []proc.Mapping) []proc.Mapping { m[0].Prot = 1; return m }, fresh: []uint64{page}},
		"other file": {change: func(m []proc.Mapping) []proc.Mapping { m[0].Inode = 7; return m }, fresh: []uint64{page}},
		"fewer":      {change: func(m []proc.Mapping) []proc.Mapping { return slices.Delete(m, 0, 1) }},
		"one more": {change: func(m []proc.Mapping) []proc.Mapping {
			return append(m, proc.Mapping{Start: 10 * page, End: 11 * page})
		}, fresh: []uint64{10 * page}},
		"split": {change: func(m []proc.Mapping) []proc.Mapping {
			m[2].End = 8*page + page/2
			return append(m, proc.Mapping{Start: m[2].End, End: 9 * page, Prot: 3})
		}, fresh: []uint64{8 * page, 8*page + page/2}},
		"object":      {change: func(m []proc.Mapping) []proc.Mapping { return slices.Insert(m, 2, object) }, no: true},
		"object part": {change: func(m []proc.Mapping) []proc.Mapping { m[1].End = 4 * page; return m }, no: true},
	} {
		now := test.change([]proc.Mapping{known[0].Mapping, known[1].Mapping, known[2].Mapping})
		got, fresh := withFlags(now, known)
		if test.no {
			if got != nil {
				t.Errorf("%s: want nil: the flags of a memory object are not known", name)
			}
			continue
		}
		if diff := cmp.Diff(test.fresh, slices.Sorted(maps.Keys(fresh))); diff != "" {
			t.Errorf("%s: not known (-want +got):\n%s", name, diff)
		}
		if len(got) != len(now) {
			t.Fatalf("%s: %d entries, want %d", name, len(got), len(now))
		}
		for i, e := range got {
			if e.Mapping != now[i] || fresh[e.Start] && e.VmFlags != "" {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}
