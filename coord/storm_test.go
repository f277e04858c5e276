package coord

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"crak.dev/crak/image"
)

// TestForkStorm: processes of the group fork, execute programs, spawn, create threads and end all the time. Each image has every
// process of the group: each but the root has its parent in it.
func TestForkStorm(t *testing.T) {
	program := build(t, "storm")
	for _, kinds := range []string{"f", "e", "s", "t", "z", "fffeesstz"} {
		t.Run(kinds, func(t *testing.T) {
			p := start(t, true, exec.Command(program, kinds, program))
			for i := range 5 {
				result, err := Checkpoint(Options{Pid: p.pid(), Compress: "none", Output: filepath.Join(p.dir, fmt.Sprint("image", i))})
				if err != nil {
					t.Fatalf("checkpoint %d: %v", i, err)
				}
				_, group := members(t, result.Path)
				known := make(map[image.Pid]bool)
				for _, process := range group.Processes {
					known[process.Pid] = true
				}
				if len(group.Processes) < 1+len(kinds) {
					t.Errorf("checkpoint %d: %d processes", i, len(group.Processes))
				}
				for _, process := range group.Processes {
					if process.Pid != group.Root && !known[process.Parent] {
						t.Errorf("checkpoint %d: pid %d has parent %d, which is not in the image", i, process.Pid, process.Parent)
					}
				}
				for _, z := range group.Zombies {
					if !known[z.Parent] || z.Status != 0 || z.ExitSignal != 17 {
						t.Errorf("checkpoint %d: zombie %+v", i, z)
					}
				}
				t.Logf("%d processes, %d zombies, pause %v", len(group.Processes), len(group.Zombies), result.Pause)
				p.echoes()
			}
			p.ends()
		})
	}
}

// TestShell: a shell runs one pipeline after the other. No pipe between its processes is taken for one to the outside.
func TestShell(t *testing.T) {
	p := start(t, true, exec.Command("bash", "-c", "while :; do x=$(echo a | tr a b); [ $x = b ] || echo WRONG; done </dev/null & cat; kill $!"))
	for i := range 10 {
		if _, err := Checkpoint(Options{Pid: p.pid(), Compress: "none", Output: filepath.Join(p.dir, fmt.Sprint("image", i))}); err != nil {
			t.Fatalf("checkpoint %d: %v", i, err)
		}
		p.echoes()
	}
	p.ends()
}
