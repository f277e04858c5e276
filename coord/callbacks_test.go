package coord

import (
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestCallbacks: every member's callback "before" runs before any member runs on, whether the writer is started from outside or by
// crak_checkpoint() of one member. crak_checkpoint takes the descendants of the caller, too.
func TestCallbacks(t *testing.T) {
	p := start(t, true, exec.Command(build(t, "callbacks", "-I../shim")))
	p.grown(2)
	result, err := Checkpoint(Options{Pid: p.pid()})
	if err != nil {
		t.Fatal(err)
	}
	if pids, _ := members(t, result.Path); len(pids) != 3 {
		t.Errorf("processes %d", pids)
	}
	late := time.AfterFunc(30*time.Second, func() { p.Process.Kill() })
	defer late.Stop()
	if _, err := io.WriteString(p.in, "c\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := p.lines.ReadString('\n'); line != "c\n" {
		t.Fatalf("the program says %q, %v: %s", line, err, p.log())
	}
	if n := strings.Count(p.log(), ": image "); n != 2 {
		t.Errorf("%d images: %s", n, p.log())
	}
	if pids, _ := members(t, filepath.Join(p.dir, "callbacks."+strconv.Itoa(p.pid()), "latest")); len(pids) != 3 {
		t.Errorf("processes %d", pids)
	}
	p.ends()
}
