package proc

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLimits compares the file with getrlimit(2).
func TestLimits(t *testing.T) {
	all, err := Read(os.Getpid(), "limits", Limits)
	if err != nil || len(all) != 16 {
		t.Fatalf("%d limits, %v", len(all), err)
	}
	for resource, got := range all {
		var want unix.Rlimit
		if err := unix.Prlimit(0, resource, nil, &want); err != nil || got != (Limit{want.Cur, want.Max}) {
			t.Errorf("limit %d: %+v, want %+v, %v", resource, got, want, err)
		}
	}
}
