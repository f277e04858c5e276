package shimtest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWriterMissing: the reaper ends before its parent waits for it.
func TestWriterMissing(t *testing.T) {
	content, err := os.ReadFile(library(t))
	if err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(t.TempDir(), "libcrak.so")
	if err := os.WriteFile(gone, content, 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, false, "broken", "LD_PRELOAD="+gone)
	s.await("READY")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	s.proceed()
	s.await("DONE")
}

// TestCheckpointInCallback: crak_checkpoint in a callback fails with -EBUSY, whether the program or crak asked for the checkpoint.
func TestCheckpointInCallback(t *testing.T) {
	busy := strconv.Itoa(-int(syscall.EBUSY))
	s := start(t, true, "callback")
	s.await("READY")
	s.await("RESULT 0")
	s.await("INSIDE " + busy)
	s.await("OUTSIDE")
	if out, err := exec.Command(library(t), "checkpoint", strconv.Itoa(s.pid())).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.proceed()
	s.await("INSIDE " + busy)
}

func TestHold(t *testing.T) {
	s := start(t, true, "hold")
	s.await("READY")
	s.await("VIOLATIONS 0")
}

// TestHoldOfOthers: a forked child is not held by a thread that it does not have. It has the holds of the thread that forked it,
// and a checkpoint waits until it releases them.
func TestHoldOfOthers(t *testing.T) {
	s := start(t, true, "held-fork")
	s.await("READY")
	child := s.await("CHILD")
	bound, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	checkpoint := func() *exec.Cmd { return exec.CommandContext(bound, library(t), "checkpoint", child) }
	if out, err := checkpoint().CombinedOutput(); err != nil {
		t.Fatalf("a child without a hold: %v\n%s", err, out)
	}
	s.proceed()
	s.await("RELEASED 0")
	s.proceed()
	s.await("STATUS 0")

	child = s.await("CHILD")
	held := checkpoint()
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- held.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("a child with two holds: the checkpoint does not wait: %v", err)
	case <-time.After(500 * time.Millisecond): // nothing must happen, so there is no event to await
	}
	s.proceed()
	s.await("RELEASED 2")
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("after the release: %v; log:\n%s", err, s.log())
		}
	case <-time.After(testTimeout):
		held.Process.Kill()
		t.Fatal("the checkpoint still waits after the release")
	}
	s.proceed()
	s.await("STATUS 0")
}

func TestFork(t *testing.T) {
	s := start(t, true, "forked")
	s.await("READY")
	s.await("CHILD 0")
}

func TestVfork(t *testing.T) {
	s := start(t, true, "vforked")
	s.await("READY")
	s.await("CHILD 0")
	s.await("RESULT 0")
}

// TestReaper: no handler of the program may run in the reaper, which shares the memory of the program, and the reaper may not keep
// descriptors of the program open.
func TestReaper(t *testing.T) {
	s := start(t, true, "reaper")
	s.await("READY")
	s.await("HELD")
	var child string
	for deadline := time.Now().Add(testTimeout); child == ""; {
		child = strings.TrimSpace(s.file("task/" + strconv.Itoa(s.pid()) + "/children"))
		if time.Now().After(deadline) {
			t.Fatal("no reaper")
		}
	}
	status, err := os.ReadFile("/proc/" + child + "/status")
	if err != nil {
		t.Fatal(err)
	}
	const kill, stop = 1 << (9 - 1), 1 << (19 - 1)
	if got := signalSet(t, string(status), "SigBlk"); got|kill|stop != ^uint64(0) {
		t.Errorf("the reaper blocks %x", got)
	}
	s.proceed()
	s.await("RESULT 0")
	if children := s.file("task/" + strconv.Itoa(s.pid()) + "/children"); children != "" {
		t.Errorf("children %s are left", children)
	}
}

func signalSet(t *testing.T, status, name string) uint64 {
	t.Helper()
	_, rest, _ := strings.Cut(status, name+":\t")
	line, _, _ := strings.Cut(rest, "\n")
	set, err := strconv.ParseUint(line, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestWaitForAnyKind: a wait with __WALL or __WCLONE never reports the reaper or the twin.
func TestWaitForAnyKind(t *testing.T) {
	for _, mode := range []string{"childless", "waits"} {
		t.Run(mode, func(t *testing.T) {
			s := start(t, true, mode)
			s.await("READY")
			s.await("DONE")
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		s := start(t, true, "cancelled")
		s.await("READY")
		s.await("CANCELLED 1")
		s.await("CHILD 1")
	})
}

// TestTogether: several threads ask for a checkpoint at the same time. Those that get none get -EBUSY.
func TestTogether(t *testing.T) {
	s := start(t, true, "together")
	s.await("READY")
	s.await("OTHERS 0")
	s.await("RESULT 0")
}

func TestChurn(t *testing.T) {
	s := start(t, true, "churn")
	s.await("READY")
	s.await("DONE")
}

// TestQueueFull: the kernel cannot queue the signal that reports the end of the reaper.
func TestQueueFull(t *testing.T) {
	s := start(t, true, "queue")
	s.await("READY")
	s.await("RESULT 0")
	s.await("RESULT 0")
}
