package restore

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
)

// TestFailsUntouched makes one of two processes fail just before it is ready. The image has a file that the restart would cut back,
// and one that it would make. Neither is changed.
func TestFailsUntouched(t *testing.T) {
	tests := map[string]func(p *image.Process){
		"working directory": func(p *image.Process) { p.Cwd = "/proc/self/task/0" },
		"timer":             func(p *image.Process) { p.Timers = []image.PosixTimer{{Clock: 99}} },
		"thread": func(p *image.Process) {
			other := p.Threads[0]
			other.Parked.Tid += 5
			other.Parked.Flags = 0
			other.Parked.RobustList, other.Parked.RobustLength = handmade.DataAt, 1 // set_robust_list wants another length
			p.Threads = append(p.Threads, other)
		},
	}
	for _, mode := range modes(t) {
		for name, spoil := range tests {
			for i, who := range []string{"root", "child"} {
				t.Run(string(mode)+"/"+name+"/"+who, func(t *testing.T) {
					failsUntouched(t, mode, func(g *image.Group) { spoil(&g.Processes[i]) })
				})
			}
		}
	}
}

func failsUntouched(t *testing.T, mode PidMode, spoil func(g *image.Group)) {
	dir := t.TempDir()
	g := aTree(t)
	log, gone := filepath.Join(dir, "log"), filepath.Join(dir, "gone")
	writeFile(t, log, "before")
	writeFile(t, gone, "before")
	describe(t, g, 3, log)
	describe(t, g, 4, gone)
	writeFile(t, log, "before and after")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	spoil(g)
	o := runWith(Options{Image: writeImage(t, g, says), Pids: mode, Files: fd.Rewind, Force: true})
	if o.err == nil {
		t.Fatalf("restarted: %+v", o)
	}
	if text, err := os.ReadFile(log); err != nil || string(text) != "before and after" {
		t.Errorf("log is now %q, %v", text, err)
	}
	if _, err := os.Lstat(gone); !os.IsNotExist(err) {
		t.Errorf("gone: %v", err)
	}
	for i := range g.Processes {
		noStray(t, g.Processes[i].Pid)
	}
}

// writeFile writes a file, and keeps its inode.
func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// describe gives the process of a group a descriptor for a file, open for appending.
func describe(t *testing.T, g *image.Group, number int, path string) {
	t.Helper()
	record, err := json.Marshal(fd.Regular{File: handmade.FileAt(path)})
	if err != nil {
		t.Fatal(err)
	}
	id := image.DescriptionID(len(g.Descriptions) + 1)
	g.Descriptions = append(g.Descriptions, image.Description{ID: id, Kind: "regular", Flags: unix.O_WRONLY | unix.O_APPEND, Record: record})
	p := &g.Processes[0]
	p.Descriptors = append(p.Descriptors, image.Descriptor{Fd: number, Description: id})
}

// runWith restarts an image in the foreground.
func runWith(options Options) (o outcome) {
	options.Notice = func(text string) { o.notices = append(o.notices, text) }
	options.Started = func(pid int) { o.pid = pid }
	o.status, o.err = Run(context.Background(), options)
	return o
}
