package shimtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestReaperEndInterruptsOneThread: the end of the reaper interrupts only the thread that has made it. A signal to the process could wake two threads,
// and only one of them would run the handler. The other one's epoll_wait(2) would fail with EINTR.
func TestReaperEndInterruptsOneThread(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "libcrak.so")
	if out, err := exec.Command("cp", library(t), gone).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := start(t, false, "told", "LD_PRELOAD="+gone)
	s.await("READY")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	s.proceed()
	s.await("SIGNAL 33")
	s.await("REAP 1")
	s.await("CHILDLESS 0")
	s.await("CHILDLESS 1")
}

// TestReaperOutlivesItsMaker: if the thread that has made the reaper has ended, another thread reaps it.
func TestReaperOutlivesItsMaker(t *testing.T) {
	s := start(t, true, "outlived")
	s.await("READY")
	s.await("CHILDLESS 0")
	s.await("CHILDLESS 1")
}
