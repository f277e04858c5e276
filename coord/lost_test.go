package coord

import (
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLostOrder: the program loses an order, because glibc has just installed its own handler. The writer sends the order again.
func TestLostOrder(t *testing.T) {
	program := build(t, "loses")
	for _, at := range []string{"query", "freeze"} {
		t.Run(at, func(t *testing.T) {
			p := start(t, true, exec.Command(program))
			lose := func() {
				if err := unix.Kill(p.pid(), unix.SIGUSR1); err != nil {
					t.Fatal(err)
				}
				if line, err := p.lines.ReadString('\n'); line != "\n" {
					t.Fatalf("the program says %q, %v", line, err)
				}
			}
			_, err := Checkpoint(Options{Pid: p.pid(), Compress: "none", Output: filepath.Join(p.dir, "image"), phase: func(phase string) {
				if phase == at {
					lose()
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			p.echoes()
			p.ends()
		})
	}
}
