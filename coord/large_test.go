package coord

import (
	"os/exec"
	"runtime"
	"testing"
)

// TestLargeEnvironment: a program can make its environment and its arguments as large as its memory. crak, which may be root's, does not read
// all of that.
func TestLargeEnvironment(t *testing.T) {
	p := start(t, false, exec.Command(build(t, "large"), "256"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if awaitsLibrary(p.pid()) {
		t.Error("taken for a program with libcrak.so")
	}
	if startsRun(p.pid()) {
		t.Error("taken for crak run")
	}
	runtime.ReadMemStats(&after)
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 32 {
		t.Errorf("crak has taken %d MiB of memory", took)
	}
}
