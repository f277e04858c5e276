package restore

import (
	"strings"
	"testing"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
)

func TestCheckDescriptors(t *testing.T) {
	g := handmade.Group(412, me())
	for pid := image.Pid(413); pid < 512; pid++ {
		g.Processes = append(g.Processes, handmade.Group(pid, me()).Processes...)
	}
	g.Processes[1].Descriptors = []image.Descriptor{{Fd: 300}}
	for _, test := range []struct {
		limit uint64
		want  []string
	}{
		{301, nil},
		{300, []string{"pid 413 fd 300: descriptor: its number is above the limit of 300"}},
		{100, []string{"pid 413 fd 300"}},
		{40, []string{"pid 413 fd 300", "group of 100 processes: crak restart needs 42 descriptors at once, and its limit is 40"}},
	} {
		all := checkDescriptors(g, test.limit)
		if len(all) != len(test.want) {
			t.Fatalf("limit %d: %v", test.limit, all)
		}
		for i, want := range test.want {
			if text := all[i].Error(); !strings.Contains(text, want) {
				t.Errorf("limit %d: %q, want %q", test.limit, text, want)
			}
		}
	}
}
