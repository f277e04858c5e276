package proc

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// Bits of a word of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
const (
	wordPresent   = 1 << 63
	wordSwapped   = 1 << 62
	wordFile      = 1 << 61
	wordGuard     = 1 << 58
	wordSoftDirty = 1 << 55
)

// wordsMax is how many words are read at once: 64 KiB, 32 MiB of 4 KiB pages.
const wordsMax = 8192

// scanWords is scanRegions for kernels without PAGEMAP_SCAN. It reads a word of 8 bytes for each page.
func (p *Pagemap) scanWords(start, end uint64, q Query, found func(Range)) error {
	page := uint64(os.Getpagesize())
	if p.buf == nil {
		p.buf = make([]byte, 8*wordsMax)
	}
	for start < end {
		buf := p.buf[:8*min((end-start)/page, wordsMax)]
		n, err := p.f.ReadAt(buf, int64(start/page*8))
		if n < 8 && err == io.EOF {
			return nil // above the highest user address
		}
		if n < 8 {
			return fmt.Errorf("pagemap %x-%x: %w", start, end, err)
		}
		var run Range
		for i := 0; i+8 <= n; i += 8 {
			if q.match(wordCategories(binary.NativeEndian.Uint64(buf[i:]))) {
				run = extend(run, Range{start, start + page}, found)
			}
			start += page
		}
		if run.End != 0 {
			found(run)
		}
	}
	return nil
}

// extend adds a page to a run, or reports the run and begins another.
func extend(run, next Range, found func(Range)) Range {
	if run.End == next.Start {
		run.End = next.End
		return run
	}
	if run.End != 0 {
		found(run)
	}
	return next
}

func wordCategories(w uint64) Category {
	var c Category
	for _, bit := range []struct {
		word     uint64
		category Category
	}{
		{wordPresent, Present}, {wordSwapped, Swapped}, {wordFile, File},
		{wordGuard, Guard}, {wordSoftDirty, SoftDirty},
	} {
		if w&bit.word != 0 {
			c |= bit.category
		}
	}
	return c
}
