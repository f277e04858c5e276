package dump

import (
	"testing"

	"crak.dev/crak/internal/proc"
)

// TestWithFlags: flags that were read earlier are good for the same list alone, but for a stack that has grown.
func TestWithFlags(t *testing.T) {
	known := []proc.SmapsEntry{
		{Mapping: proc.Mapping{Start: 1 * page, End: 2 * page, Prot: 3}, VmFlags: []string{"rd", "wr"}},
		{Mapping: proc.Mapping{Start: 8 * page, End: 9 * page, Prot: 3}, VmFlags: []string{"rd", "wr", "gd"}},
	}
	for name, test := range map[string]struct {
		change func([]proc.Mapping) []proc.Mapping
		same   bool
	}{
		"same":       {func(m []proc.Mapping) []proc.Mapping { return m }, true},
		"stack":      {func(m []proc.Mapping) []proc.Mapping { m[1].Start = 7 * page; return m }, true},
		"no stack":   {func(m []proc.Mapping) []proc.Mapping { m[0].Start = 0; return m }, false},
		"shrunk":     {func(m []proc.Mapping) []proc.Mapping { m[1].End = 8*page + 1; return m }, false},
		"protection": {func(m []proc.Mapping) []proc.Mapping { m[0].Prot = 1; return m }, false},
		"other file": {func(m []proc.Mapping) []proc.Mapping { m[0].Inode = 7; return m }, false},
		"one fewer":  {func(m []proc.Mapping) []proc.Mapping { return m[:1] }, false},
		"one more":   {func(m []proc.Mapping) []proc.Mapping { return append(m, m[0]) }, false},
	} {
		now := test.change([]proc.Mapping{known[0].Mapping, known[1].Mapping})
		got := withFlags(now, known)
		if (got != nil) != test.same {
			t.Errorf("%s: %v", name, got)
		}
		for i, e := range got {
			if e.Mapping != now[i] || len(e.VmFlags) != len(known[i].VmFlags) {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}
