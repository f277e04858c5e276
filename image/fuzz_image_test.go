package image_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"crak.dev/crak/image"
	"crak.dev/crak/image/imagetest"
	"crak.dev/crak/internal/abi"
)

// mostAllocated bounds what opening and checking a small image may allocate in all.
const mostAllocated = 256 << 20

// FuzzImage is a whole image from somebody else: any values in group.json and processes.json, any pages.idx and pages.bin, but
// correct sums. It is refused, or opened, checked and read. Neither takes much memory.
func FuzzImage(f *testing.F) {
	group, index := seedImage(f)
	f.Add([]byte{}, index, []byte{})
	f.Add([]byte{9, 0, 3, 30, 0, 21}, index, []byte{})
	dir := f.TempDir()
	if err := imagetest.Write(dir, image.Manifest{Program: "app", Root: 412}, group, index, nil); err != nil {
		f.Fatal(err)
	}
	img, err := image.Open(dir)
	if err != nil {
		f.Fatalf("the image to begin with: %v", err)
	}
	img.Close()
	f.Fuzz(func(t *testing.T, edits, index, pages []byte) {
		m := image.Manifest{Format: 1 + len(edits)%2, Program: "app", Root: 412}
		if err := imagetest.Write(dir, m, imagetest.Mutate(group, edits), index, pages); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		openAndRead(dir)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > mostAllocated {
			t.Errorf("%d MiB allocated for %d bytes", used>>20, len(group)+len(index)+len(pages))
		}
	})
}

func openAndRead(dir string) {
	img, err := image.Open(dir)
	if err != nil {
		return
	}
	defer img.Close()
	_ = img.Verify(context.Background(), nil)
	for _, err := range img.Frames("") {
		if err != nil {
			return
		}
	}
	json.NewEncoder(io.Discard).Encode(img.Group)
}

// seedImage is two processes, each with memory, threads, signals, descriptors, and content, and a zombie.
func seedImage(f *testing.F) (group, index []byte) {
	p := image.Process{
		Pid: 412, Parent: 1, ProcessGroup: 412, Session: 412, Cwd: "/", RootDir: "/",
		Executable: image.File{Path: "/bin/app"},
		Mappings: []image.Mapping{
			{Start: 0x1000, End: 0x9000, Prot: 3, Kind: image.MappingAnonymous},
			{Start: 0x9000, End: 0xa000, Prot: 1, Kind: image.MappingFile, File: &image.File{Path: "/lib/x.so"}},
			{Start: 0xa000, End: 0xb000, Prot: 3, Shared: true, Kind: image.MappingMemory, Memory: 1},
		},
		Threads:     []image.Thread{{Parked: abi.Thread{Tid: 412, Flags: abi.ThreadInitiator, Context: 0x1000, Frame: 0x1100}, Comm: "app"}},
		Actions:     make([]image.SignalAction, 64),
		Pending:     []image.SignalInfo{make([]byte, 128)},
		Timers:      []image.PosixTimer{{ID: 0}},
		Limits:      []image.Limit{{Resource: 7, Soft: 1, Hard: 2}},
		Descriptors: []image.Descriptor{{Fd: 0, Description: 1}},
	}
	child := p
	child.Pid, child.Parent = 413, 412
	child.Threads = []image.Thread{{Parked: abi.Thread{Tid: 413, Flags: abi.ThreadInitiator, Context: 0x1000, Frame: 0x1100}, Comm: "child"}}
	g := image.Group{
		Root: 412, Processes: []image.Process{p, child},
		Zombies:      []image.Zombie{{Pid: 414, Parent: 413, ProcessGroup: 412, Session: 412, Comm: "ended"}},
		Descriptions: []image.Description{{ID: 1, Kind: "pipe_end", Object: 1}},
		Memory:       []image.MemoryObject{{ID: 1, Kind: image.MemoryMemfd, Size: 4096}},
		Objects: []image.Object{
			{ID: 1, Kind: "pipe", Size: 5, Record: json.RawMessage(`{"capacity":4096}`)},
			{ID: 2, Kind: "unix_socket", Record: json.RawMessage(`{"type":2,"peer":2,"options":{"sndbuf":[1]}}`)},
		},
		Semaphores: []image.SemaphoreSet{{Values: []uint16{1, 0}, Undo: []image.Undo{{Pid: 413, Semaphore: 1, Value: -1}}}},
		Queues:     []image.MessageQueue{{Limit: 100, Messages: []image.Message{{Type: 1, Text: []byte("text")}}}},
	}
	group, err := json.Marshal(g)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, sameIndex(f, &g), []byte{})
	index = imagetest.Zeroes(image.ProcessSpace(412), []image.Run{{Start: 0x1000, Length: 0x2000}})
	return group, index
}

// sameIndex is the index of an image whose second process has all its content from the first one (codec same).
func sameIndex(f *testing.F, g *image.Group) []byte {
	f.Helper()
	w, err := image.Create(f.TempDir(), image.Options{Program: "app", Pid: 412})
	if err != nil {
		f.Fatal(err)
	}
	defer w.Abort()
	runs := []image.Run{{Start: 0x1000, Length: 0x2000, KeepZero: true}}
	zero := func(dst []byte, _ []image.Run) error { clear(dst); return nil }
	one := func(dst []byte, _ []image.Run) error { dst[0], dst[image.PageSize] = 1, 1; return nil }
	err = w.Put(image.ProcessSpace(412), runs, zero)
	if err == nil {
		err = w.PutLike(&image.Like{Space: image.ProcessSpace(412), Read: one}, image.ProcessSpace(413), runs, one, nil)
	}
	if err != nil {
		f.Fatal(err)
	}
	path, err := w.Commit(image.Manifest{Program: "app", Root: 412}, g)
	if err != nil {
		f.Fatal(err)
	}
	img, err := image.Open(path)
	if err != nil || img.Totals("").Same == 0 {
		f.Fatalf("no frame of codec same, error %v", err)
	}
	img.Close()
	index, err := os.ReadFile(filepath.Join(path, "pages.idx"))
	if err != nil {
		f.Fatal(err)
	}
	return index
}
