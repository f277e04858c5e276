package fd_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// The tests capture their own process, which is not frozen: without garbage collection nothing is closed
// behind their backs.
func TestMain(m *testing.M) {
	debug.SetGCPercent(-1)
	os.Exit(m.Run())
}
