package busypoll

import "testing"

// TestShare: many waits at the same time do not poll. They would take the processors from the processes that they wait for.
func TestShare(t *testing.T) {
	defer Share(0)
	for _, test := range []struct{ waits, least, most int }{{0, 1000, 4000}, {1, 1000, 4000}, {8, 1, 100}, {64, 0, 0}} {
		Share(test.waits)
		if n := Limit(); n < test.least || n > test.most {
			t.Errorf("%d waits: %d polls each, not %d to %d", test.waits, n, test.least, test.most)
		}
	}
}
