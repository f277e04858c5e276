package coord

import (
	"os"
	"runtime"
)

// memoryLimit is the Go runtime's. An image.Writer uses about 3 MiB for each processor.
const memoryLimit = 64 << 20

// warmth is more than a pause of most programs allocates.
const warmth = 4 << 20

// warm touches pages of the heap before the pause. The first access to a page takes microseconds.
func warm() {
	room := make([]byte, warmth)
	for i := 0; i < len(room); i += os.Getpagesize() {
		room[i] = 1
	}
	runtime.GC() // returns room to the heap
}
