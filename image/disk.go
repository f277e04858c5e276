package image

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushStep is how much of pages.bin is handed to the disk at a time, in bytes.
const flushStep = 16 << 20

// flushEarly starts writing out what lies before the step that [offset, offset+n) reaches into, so
// that the disk works along and the final fsync is short. It is only a hint: errors come
// up in the fsync.
func flushEarly(f *os.File, offset, n int64) {
	step := (offset + n) / flushStep
	if step > offset/flushStep {
		unix.SyncFileRange(int(f.Fd()), (step-1)*flushStep, flushStep, unix.SYNC_FILE_RANGE_WRITE)
	}
}

// settle waits until a file of so many bytes is on the disk but for the last of it, and says how it gets on: one fsync
// would say nothing until it is done. Errors come up in the fsync.
func settle(f *os.File, size int64, tell func(n uint64)) {
	const flags = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	for at := int64(0); at < size; at += flushStep {
		if unix.SyncFileRange(int(f.Fd()), at, flushStep, flags) != nil {
			return
		}
		tell(uint64(min(flushStep, size-at)))
	}
}

// readStep is how far ahead of a Fill the disk is kept reading, in bytes.
const readStep = 4 << 20

// readAhead has the disk begin with the step of pages.bin after the one that [offset, offset+n) reaches into.
// The kernel's own guess is small, and put off by workers that take turns.
func readAhead(f *os.File, offset, n int64) {
	step := (offset + n) / readStep
	if offset == 0 || step > offset/readStep {
		unix.Fadvise(int(f.Fd()), (step+1)*readStep, readStep, unix.FADV_WILLNEED)
	}
}
