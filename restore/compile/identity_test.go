package compile

import (
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

func TestRemaining(t *testing.T) {
	const second = 1e9
	for _, test := range []struct{ soft, hard, wantSoft, wantHard uint64 }{
		{10, 20, 7, 17},
		{3, 20, 1, 17},
		{0, 0, 1, 1},
		{10, unix.RLIM_INFINITY, 7, unix.RLIM_INFINITY},
		{unix.RLIM_INFINITY, unix.RLIM_INFINITY, unix.RLIM_INFINITY, unix.RLIM_INFINITY},
	} {
		got := remaining(image.Limit{Resource: unix.RLIMIT_CPU, Soft: test.soft, Hard: test.hard}, 3*second+second/2)
		if got.Soft != test.wantSoft || got.Hard != test.wantHard {
			t.Errorf("limits %d, %d: remaining %d, %d, want %d, %d", test.soft, test.hard, got.Soft, got.Hard, test.wantSoft, test.wantHard)
		}
	}
}
