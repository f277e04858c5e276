package image

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushStep is how many bytes of pages.bin are flushed to disk at a time.
const flushStep = 16 << 20

// flushEarly starts to flush a step of the file once a write to [offset, offset+n) has passed its end. So the disk works while the
// writer compresses, and the final fsync is short. flushEarly ignores errors: the fsync reports them.
func flushEarly(f *os.File, offset, n int64) {
	step := (offset + n) / flushStep
	if step > offset/flushStep {
		unix.SyncFileRange(int(f.Fd()), (step-1)*flushStep, flushStep, unix.SYNC_FILE_RANGE_WRITE)
	}
}

// settle waits until the content of a file is written, and reports the progress to tell: a single fsync would report nothing until
// its end. The caller calls fsync afterwards, for metadata and the cache of the disk. settle ignores errors: the fsync reports
// them.
func settle(f *os.File, size int64, tell func(n uint64)) {
	const flags = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	for at := int64(0); at < size; at += flushStep {
		if unix.SyncFileRange(int(f.Fd()), at, flushStep, flags) != nil {
			return
		}
		tell(uint64(min(flushStep, size-at)))
	}
}

// readStep is how many bytes of pages.bin are read ahead of a Fill.
const readStep = 4 << 20

// readAhead starts to read the step of pages.bin after the one in which [offset, offset+n) ends. The kernel's own readahead is
// small, and does not recognize a sequential read that several workers share.
func readAhead(f *os.File, offset, n int64) {
	step := (offset + n) / readStep
	if offset == 0 || step > offset/readStep {
		unix.Fadvise(int(f.Fd()), (step+1)*readStep, readStep, unix.FADV_WILLNEED)
	}
}
