package dump

import (
	"slices"
	"testing"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// TestByTrust: what a member of another user shows of an object that it may only read comes after what the others show.
func TestByTrust(t *testing.T) {
	root, other := &Member{}, &Member{As: func(do func() error) error { return do() }}
	at := func(m *Member, object image.MemoryID, offset uint64, flags string) part {
		return part{member: m, object: object, offset: offset, entry: proc.SmapsEntry{Mapping: proc.Mapping{Shared: flags[:2] == "sh"}, VmFlags: flags}}
	}
	want := []part{
		at(other, 1, 0, "sh mr mw"), at(root, 1, 8192, "sh mr"), at(root, 1, 0, "mr mw"), at(other, 1, 0, "sh mr"), at(root, 2, 0, "sh mr mw"),
	}
	got := []part{want[3], want[4], want[2], want[1], want[0]}
	slices.SortStableFunc(got, byTrust)
	for i := range want {
		if got[i].member != want[i].member || got[i].object != want[i].object || got[i].entry.VmFlags != want[i].entry.VmFlags {
			t.Errorf("part %d: %+v", i, got[i])
		}
	}
}
