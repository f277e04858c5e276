package image

import (
	"context"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"testing"
)

// TestConstantMemory writes and reads much more content than the writer and the reader may keep in memory.
func TestConstantMemory(t *testing.T) {
	const content, most = 256 << 20, 60 << 20
	before := peak(t)
	g := goodGroup()
	m := &g.Processes[0].Mappings[1]
	m.Start, m.End = 0x1_0000_0000, 0x1_0000_0000+content
	m2 := g.Processes[0].Mappings
	m2[1], m2[2] = m2[2], m2[1]
	w, err := Create(t.TempDir(), Options{Program: "app", Pid: 412, Compress: true, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	runs := []Run{{Start: 0x1_0000_0000, Length: content}}
	err = w.Put(ProcessSpace(412), runs, func(dst []byte, runs []Run) error {
		for at := 0; at < len(dst); at += 8 {
			fillRandom(dst[at:at+8], runs[0].Start+uint64(at)&^(1<<13-1)) // one of 1024 words differs from the word before
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	path, err := w.Commit(Manifest{Root: 412}, g)
	if err != nil {
		t.Fatal(err)
	}
	i, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if err := i.Fill(context.Background(), "process:412", 2, func([]Run, []byte) error { return nil }); err != nil {
		t.Error(err)
	}
	if grown := peak(t) - before; grown > most {
		t.Errorf("grew by %d MiB for %d MiB of content, more than %d MiB", grown>>20, content>>20, most>>20)
	}
}

// peak returns the peak RSS of this process, in bytes.
func peak(t *testing.T) int {
	t.Helper()
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	kib := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if kib == nil {
		t.Fatal("no VmHWM in /proc/self/status")
	}
	n, _ := strconv.Atoi(string(kib[1]))
	return n << 10
}
