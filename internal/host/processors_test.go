package host

import "testing"

func TestCountOf(t *testing.T) {
	for list, want := range map[string]uint64{"0": 1, "0-3": 4, "0-1,8,10-11": 5} {
		if got, err := countOf(list); got != want || err != nil {
			t.Errorf("%q: %d, %v; want %d", list, got, err, want)
		}
	}
	for _, list := range []string{"", "3-1", "0-", "a", "0,"} {
		if got, err := countOf(list); err == nil {
			t.Errorf("%q: %d, want an error", list, got)
		}
	}
}
