package restore

import (
	"encoding/json"
	"strings"
	"testing"

	"crak.dev/crak/fd"
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
		all := checkDescriptors(g, &fd.Env{}, test.limit)
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

// TestPlan looks at which descriptions members receive in batches. Each of two processes has 100 eventfds, and both have one more.
func TestPlan(t *testing.T) {
	g := handmade.Group(412, me())
	g.Processes = append(g.Processes, handmade.Group(413, me()).Processes...)
	someEventfds(g, 100)
	both := image.DescriptionID(len(g.Descriptions) + 1)
	g.Descriptions = append(g.Descriptions, image.Description{ID: both, Kind: "eventfd", Record: json.RawMessage(`{"count":1}`)})
	for i := range g.Processes {
		g.Processes[i].Descriptors = append(g.Processes[i].Descriptors, image.Descriptor{Fd: 200, Description: both})
	}
	for _, test := range []struct {
		limit, need, first, second int // need is 0: the limit is too low
	}{
		{343, 343, 0, 0},
		{300, 300, 43, 0},
		{200, 200, 100, 24},
		{150, 150, 100, 74},
		{120, 0, 101, 101},
	} {
		p := newPlan(g, &fd.Env{}, test.limit)
		if first, second := received(p, 412), received(p, 413); first != test.first || second != test.second {
			t.Errorf("limit %d: %d and %d in batches, want %d and %d", test.limit, first, second, test.first, test.second)
		}
		if p.need != test.need && (test.need != 0 || p.need <= test.limit) {
			t.Errorf("limit %d: %d are needed, want %d", test.limit, p.need, test.need)
		}
	}
}

// received is how many descriptions a process receives in batches.
func received(p *plan, pid image.Pid) (n int) {
	for _, batch := range p.batches[pid] {
		n += len(batch)
	}
	return n
}
