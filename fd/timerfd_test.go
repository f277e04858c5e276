package fd

import (
	"errors"
	"testing"
	"time"
)

// TestTimeOf: the time is that of a look during which the process was not preempted.
func TestTimeOf(t *testing.T) {
	for name, c := range map[string]struct {
		lasts []time.Duration // of each look
		want  int             // the look that is kept
		calls int
	}{
		"at once":             {[]time.Duration{time.Microsecond}, 0, 1},
		"preempted":           {[]time.Duration{5 * time.Millisecond, time.Microsecond}, 1, 2},
		"the clock goes back": {[]time.Duration{-time.Second, time.Microsecond}, 1, 2},
		"always slow":         {[]time.Duration{9e6, 8e6, 7e6, 3e6, 9e6, 9e6, -9e6, 9e6, 9e6, 9e6, 1}, 3, 10},
	} {
		now, calls, kept := int64(1e9), 0, -1
		var ends []int64
		got, err := timeOf(func() int64 { return now }, func() (func(), error) {
			n := calls
			calls++
			now += int64(c.lasts[n])
			ends = append(ends, now)
			return func() { kept = n }, nil
		})
		if err != nil || kept != c.want || calls != c.calls || got != ends[c.want] {
			t.Errorf("%s: kept look %d of %d, time %d, %v", name, kept, calls, got, err)
		}
	}
	gone := errors.New("gone")
	if _, err := timeOf(func() int64 { return 0 }, func() (func(), error) { return nil, gone }); err != gone {
		t.Errorf("a look that fails: %v", err)
	}
}
