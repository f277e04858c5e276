package image

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// cloneStep is a multiple of the block size of every file system that can clone.
const cloneStep = 64 << 10

// Clone makes the first size bytes of a file a part of pages.bin that shares its blocks (ioctl_ficlonerange(2)), and returns where. It
// tells whether the file system could do that. The content is that of this moment. PutCloned records it.
// Preconditions: no Put is running.
func (w *Writer) Clone(fd int, size int64) (at int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at = (w.size + cloneStep - 1) &^ (cloneStep - 1)
	if size == 0 || w.failed.get() != nil {
		return 0, false
	}
	r := unix.FileCloneRange{Src_fd: int64(fd), Dest_offset: uint64(at)} // up to the end of the file
	if unix.IoctlFileCloneRange(int(w.pages.Fd()), &r) != nil {
		return 0, false
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(w.pages.Fd()), &st); err != nil || st.Size != at+size {
		w.failed.set(fmt.Errorf("%s: %d bytes after a file of %d was cloned to offset %d", pagesFile, st.Size, size, at))
	}
	w.size = at + size
	return at, true
}

// PutCloned adds a part of pages.bin that Clone has made to the index, as the content of a space of size bytes.
func (w *Writer) PutCloned(space Space, at, size int64) error {
	var runs []Run
	for from := int64(0); from < size; {
		start, err := unix.Seek(int(w.pages.Fd()), at+from, unix.SEEK_DATA)
		if err == unix.ENXIO || err == nil && start >= at+size {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: lseek: %w", pagesFile, err)
		}
		end, err := unix.Seek(int(w.pages.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("%s: lseek: %w", pagesFile, err)
		}
		first := max(uint64(start-at)&^(PageSize-1), uint64(from))
		from = min(int64(PageAlign(uint64(end-at))), size)
		runs = appendRun(runs, Run{Start: first, Length: uint64(from) - first})
	}
	read := func(dst []byte, runs []Run) error {
		for _, r := range runs {
			if _, err := w.pages.ReadAt(dst[:r.Length], at+int64(r.Start)); err != nil {
				return err
			}
			dst = dst[r.Length:]
		}
		return nil
	}
	return w.put(job{space: space, fill: read, cloned: true, at: at}, runs, func(j job) { w.jobs <- j })
}

// packCloned adds content that is in pages.bin already to the index: a frame for each run. raw has the content of the runs.
func (k *packer) packCloned(j job, raw []byte) error {
	for _, r := range j.runs {
		f := Frame{Space: j.space, Codec: CodecNone, Offset: j.at + int64(r.Start), Stored: uint32(r.Length), Raw: uint32(r.Length),
			CRC: checksum(raw[:r.Length]), Runs: []Run{{Start: r.Start, Length: r.Length}}}
		k.w.mu.Lock()
		err := k.w.index.frame(&f)
		k.w.mu.Unlock()
		if err != nil {
			return fmt.Errorf("%s: %w", indexFile, err)
		}
		raw = raw[r.Length:]
	}
	k.w.done.Add(runBytes(j.runs))
	return nil
}
