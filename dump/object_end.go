package dump

import (
	"os"
	"sort"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// shownBytes is how many bytes of a mapping are in the file behind it, in pages. Access behind the end of the file raises SIGBUS, and a
// read through /proc/PID/mem fails. Reading a page that does not exist creates it, so shownBytes reads few of them.
func (m *Member) shownBytes(e proc.SmapsEntry, kind image.MemoryKind) uint64 {
	if kind != image.MemoryFile && kind != image.MemoryMemfd || e.Has("ht") {
		return e.Size()
	}
	memory, err := openReader(m.Live)
	if err != nil {
		return e.Size()
	}
	defer memory.close()
	page := uint64(os.Getpagesize())
	pages := int(e.Size() / page)
	behind := func(n int) bool {
		var one [1]byte
		_, err := unix.Pread(memory.mem, one[:], int64(e.Start+uint64(n)*page))
		return err == unix.EIO
	}
	if pages == 0 || !behind(pages-1) {
		return e.Size()
	}
	return page * uint64(sort.Search(pages, behind))
}
