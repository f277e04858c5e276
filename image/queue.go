package image

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// queueBytes is the most content that a Writer keeps in memory between Hold and Release. It writes the rest to disk at once.
const queueBytes = 128 << 20

// queueChunk is how many bytes of memory a queue maps at a time. This memory is not in the Go heap, which has its own limit.
const queueChunk = 4 << 20

// A queue keeps stored frames in memory. While the program is frozen, the writer does not wait for the disk, which may be slow or
// hang.
type queue struct {
	holding bool
	most    uint64 // bytes
	chunks  [][]byte
	free    []byte // the unused part of the last chunk
	frames  []queuedFrame
}

type queuedFrame struct {
	offset int64 // in pages.bin
	data   []byte
}

// room reserves n bytes for a frame. It returns nil if the queue is full.
func (q *queue) room(offset int64, n int) []byte {
	if n > len(q.free) && !q.grow() || n > len(q.free) {
		return nil
	}
	data := q.free[:n:n]
	q.free = q.free[n:]
	q.frames = append(q.frames, queuedFrame{offset, data})
	return data
}

// grow maps the next chunk and populates its pages. One page fault per page would take longer.
func (q *queue) grow() bool {
	if uint64(len(q.chunks)+1)*queueChunk > q.most {
		return false
	}
	chunk, err := unix.Mmap(-1, 0, queueChunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return false
	}
	q.chunks = append(q.chunks, chunk)
	q.free = chunk
	return true
}

// drop discards all frames and unmaps the memory.
func (q *queue) drop() {
	for _, chunk := range q.chunks {
		unix.Munmap(chunk)
	}
	*q = queue{}
}

// Hold makes PutSync keep content in memory until Release, so that it does not wait for the disk. It keeps at most 128 MiB and at
// most room bytes.
func (w *Writer) Hold(room uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue.holding = true
	w.queue.most = min(queueBytes, room)
	w.heldIndex.holding = true
	w.queue.grow() // map the first chunk before the program is frozen
}

// Release writes the content that was kept in memory. Preconditions: no Put is running.
func (w *Writer) Release() error {
	w.mu.Lock()
	frames := w.queue.frames
	w.queue.frames, w.queue.holding = nil, false
	w.heldIndex.holding = false
	w.mu.Unlock()
	for _, f := range frames {
		if err := w.failed.get(); err != nil {
			return err
		}
		if err := w.store(f.data, f.offset); err != nil {
			w.failed.set(advise(fmt.Errorf("image %q: %w", w.Path(), err)))
			return w.failed.get()
		}
	}
	w.queue.drop()
	return nil
}

// heldFile is a file whose writes stay in memory between Hold and Release.
type heldFile struct {
	file    *os.File
	holding bool
	held    []byte
}

var _ io.Writer = (*heldFile)(nil)

func (h *heldFile) Write(b []byte) (int, error) {
	if h.holding {
		h.held = append(h.held, b...)
		return len(b), nil
	}
	if len(h.held) > 0 {
		if _, err := h.file.Write(h.held); err != nil {
			return 0, err
		}
		h.held = nil
	}
	return h.file.Write(b)
}
