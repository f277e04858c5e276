package image

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
)

// heldWriter is a Writer that holds back what is stored. It has no workers: frames come from the test, one after the other.
func heldWriter(t *testing.T, room uint64) *Writer {
	t.Helper()
	w, err := Create(t.TempDir(), Options{Program: "app", Pid: 412})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Abort)
	w.Hold(room)
	return w
}

// appendBytes stores n bytes, all of them fill.
func appendBytes(t *testing.T, w *Writer, fill byte, n int) {
	t.Helper()
	if err := w.append(&Frame{Space: MemorySpace(1)}, bytes.Repeat([]byte{fill}, n)); err != nil {
		t.Fatal(err)
	}
}

// onDisk is what pages.bin has.
func onDisk(t *testing.T, w *Writer) []byte {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", w.pages.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestQueueBound: a queue takes no more memory than it may. What does not fit goes to the disk at once, to its own place.
func TestQueueBound(t *testing.T) {
	for name, test := range map[string]struct {
		room uint64
		want int // frames in memory
	}{
		"none":             {0, 0},
		"less than needed": {queueChunk - 1, 0},
		"one chunk":        {queueChunk, 2},
		"two chunks":       {2 * queueChunk, 4},
		"and a little":     {3*queueChunk - 1, 4},
	} {
		const frames, size = 6, queueChunk / 2
		w := heldWriter(t, test.room)
		for i := range frames {
			appendBytes(t, w, byte('a'+i), size)
		}
		if got := len(w.queue.frames); got != test.want {
			t.Errorf("%s: %d frames in memory, want %d", name, got, test.want)
		}
		if mapped := uint64(len(w.queue.chunks)) * queueChunk; mapped > test.room {
			t.Errorf("%s: %d bytes of memory, and %d are allowed", name, mapped, test.room)
		}
		disk := onDisk(t, w)
		for i := range frames {
			held := i < test.want
			if len(disk) == 0 && held {
				continue
			}
			if got := disk[i*size]; held != (got == 0) || !held && got != byte('a'+i) {
				t.Errorf("%s: frame %d begins with %q on the disk before Release", name, i, got)
			}
		}
		w.Abort()
	}
}

// TestQueueMost: however much memory there is, a queue takes 128 MiB at most, and a frame that is larger than a chunk does not
// fit.
func TestQueueMost(t *testing.T) {
	w := heldWriter(t, 1<<62)
	if w.queue.most != queueBytes {
		t.Errorf("%d bytes are allowed", w.queue.most)
	}
	if w.queue.room(0, queueChunk+1) != nil {
		t.Error("a frame larger than a chunk has room")
	}
	if w.queue.room(0, 1) == nil {
		t.Error("and then a small one has none")
	}
}

// TestQueueOrder: Release writes every frame to its place, and gives the memory back. After it frames go to the disk at once.
func TestQueueOrder(t *testing.T) {
	w := heldWriter(t, queueBytes)
	var want []byte
	for i, n := range []int{3, queueChunk - 1, 5, 0, 4096, 1} {
		appendBytes(t, w, byte('a'+i), n)
		want = append(want, bytes.Repeat([]byte{byte('a' + i)}, n)...)
	}
	if b := onDisk(t, w); len(b) != 0 {
		t.Errorf("%d bytes are on the disk before Release", len(b))
	}
	for i, f := range w.queue.frames {
		if i > 0 && f.offset != w.queue.frames[i-1].offset+int64(len(w.queue.frames[i-1].data)) {
			t.Errorf("frame %d is at %d", i, f.offset)
		}
	}
	if err := w.Release(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(onDisk(t, w), want) {
		t.Error("after Release the disk has something else than was stored")
	}
	if w.queue.chunks != nil || w.queue.free != nil {
		t.Errorf("%d chunks are still there", len(w.queue.chunks))
	}
	appendBytes(t, w, 'z', 2)
	if !bytes.Equal(onDisk(t, w), append(want, "zz"...)) {
		t.Error("what comes after Release is not on the disk")
	}
}

// TestReleaseAfterError: nothing is written once the writer has given up, or when the disk fails; and it fails for good.
func TestReleaseAfterError(t *testing.T) {
	w := heldWriter(t, queueBytes)
	appendBytes(t, w, 'a', 10)
	gone := errors.New("gone")
	w.GiveUp(gone)
	if err := w.Release(); err != gone {
		t.Errorf("after GiveUp: %v", err)
	}
	if b := onDisk(t, w); len(b) != 0 {
		t.Errorf("after GiveUp: %d bytes were written", len(b))
	}

	w = heldWriter(t, queueBytes)
	appendBytes(t, w, 'a', 10)
	appendBytes(t, w, 'b', 10)
	readOnly, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", w.pages.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	w.pages.Close()
	w.pages = readOnly // every write fails
	first := w.Release()
	if first == nil {
		t.Fatal("the writes failed, and Release did not")
	}
	if err := w.failed.get(); err != first {
		t.Errorf("later calls fail with %v", err)
	}
	if err := w.PutSync(MemorySpace(1), []Run{{Start: 0, Length: PageSize}}, pattern); err == nil {
		t.Error("a Put after it works")
	}
	if _, err := w.Commit(Manifest{Program: "app", Root: 412}, goodGroup()); err == nil {
		t.Error("Commit after it works")
	}
}
