package fd_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// The tests capture their own process, which is not frozen. Garbage collection is off, because it would close
// descriptors at any time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(-1)
	if os.Getenv(forkedVariable) != "" {
		obey()
		os.Exit(0)
	}
	os.Exit(m.Run())
}
