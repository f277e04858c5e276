package coord

import (
	"os"
	"runtime"
)

// memoryLimit is the memory limit of the Go runtime (GOMEMLIMIT). An image.Writer uses about 3 MiB for each processor.
const memoryLimit = 64 << 20

// prefaulted is the size of the heap that is touched, in bytes: more than the writer allocates in most pauses.
const prefaulted = 4 << 20

// prefaultHeap touches pages of the heap before the pause. The first access to a page takes microseconds.
func prefaultHeap() {
	room := make([]byte, prefaulted)
	for i := 0; i < len(room); i += os.Getpagesize() {
		room[i] = 1
	}
	runtime.GC() // returns room to the heap
}
