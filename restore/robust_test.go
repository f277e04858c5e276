package restore

import "testing"

func TestReclaimWord(t *testing.T) {
	const tid, other = 412, 999
	for _, test := range []struct {
		name              string
		have, value, want uint32
		ok                bool
	}{
		{"as it was", tid, tid, tid, true},
		{"marked by the kernel", futexOwnerDied, tid, tid, true},
		{"marked, with waiters", futexOwnerDied | futexWaiters, tid, tid | futexWaiters, true},
		{"had waiters", futexOwnerDied, tid | futexWaiters, tid | futexWaiters, true},
		{"taken over", other, tid, other, false},
		{"taken over, not yet consistent", futexOwnerDied | other, tid, futexOwnerDied | other, false},
		{"taken over and released", 0, tid, 0, false},
	} {
		word := test.have
		err := reclaimWord(&word, test.value)
		if word != test.want || (err == nil) != test.ok {
			t.Errorf("%s: %#x, %v; want %#x", test.name, word, err, test.want)
		}
	}
}
