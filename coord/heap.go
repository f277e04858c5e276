package coord

import (
	"os"
	"runtime"
)

// memoryLimit is of the Go runtime; a Writer has some 3 MiB a processor in use.
const memoryLimit = 64 << 20

// warmth is more than what is allocated during a pause of most programs.
const warmth = 4 << 20

// warm has heap in memory that has been touched before: the first touch of a page takes microseconds.
func warm() {
	room := make([]byte, warmth)
	for i := 0; i < len(room); i += os.Getpagesize() {
		room[i] = 1
	}
	runtime.GC() // gives it back to the heap
}
