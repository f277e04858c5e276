package proc

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Range is a run of pages, [Start, End) in bytes.
type Range struct {
	Start uint64
	End   uint64
}

// Category is a set of PAGE_IS_* (linux/fs.h, Linux 6.7).
type Category uint64

const (
	WPAllowed Category = 1 << 0 // registered for asynchronous write protection
	Written   Category = 1 << 1 // written to since it was last write-protected
	File      Category = 1 << 2 // of a file or of shared memory, not anonymous
	Present   Category = 1 << 3
	Swapped   Category = 1 << 4
	PFNZero   Category = 1 << 5 // the zero page
	Huge      Category = 1 << 6
	SoftDirty Category = 1 << 7
	Guard     Category = 1 << 8 // MADV_GUARD_INSTALL, Linux 6.15
)

// Query selects pages as PAGEMAP_SCAN does: those whose categories, after the bits of
// Inverted are flipped, hold all of All, and any of Any if that is not empty.
type Query struct {
	Inverted Category
	All      Category
	Any      Category
}

func (q Query) match(c Category) bool {
	c ^= q.Inverted
	return c&q.All == q.All && (q.Any == 0 || c&q.Any != 0)
}

// Saved says which pages of a private mapping have content that exists only there.
type Saved int

const (
	Anonymous   Saved = iota // present or swapped, and not the shared zero page
	PrivateFile              // the process's own copies of the file's pages, made when it wrote to them
)

func (s Saved) query() Query {
	if s == PrivateFile {
		return Query{Inverted: File, All: File, Any: Present | Swapped}
	}
	return Query{Inverted: PFNZero, All: PFNZero, Any: Present | Swapped}
}

// Pagemap is an open /proc/PID/pagemap. Only one goroutine can use it at a time.
type Pagemap struct {
	f       *os.File
	words   bool     // this kernel has no PAGEMAP_SCAN: read the words of the file
	known   Category // categories that this kernel's PAGEMAP_SCAN knows
	regions []pageRegion
	buf     []byte
}

// OpenPagemap opens the pagemap of a process that the caller may read (ptrace(2), "access
// mode checking"); pid 0 is the caller itself.
func OpenPagemap(pid int) (*Pagemap, error) {
	fd, err := openRaw(Path(pid, "pagemap"))
	if err != nil {
		return nil, err
	}
	p := &Pagemap{f: os.NewFile(uintptr(fd.fd), "pagemap"), known: Guard<<1 - 1}
	p.probe()
	return p, nil
}

// Close closes the file.
func (p *Pagemap) Close() error { return p.f.Close() }

// Pages lists the pages of [start, end), part of one private mapping, whose content must be
// saved. It may list too many: a page that was only read is listed if the kernel has no shared zero page (s390 guests, some
// hypervisors) or no PAGEMAP_SCAN. The caller must look for zeroes in the content.
func (p *Pagemap) Pages(start, end uint64, what Saved) ([]Range, error) {
	q := what.query()
	if p.known&Guard != 0 {
		q.Inverted |= Guard // the kernel shows guard pages as swapped, but they cannot be read
		q.All |= Guard
	}
	var all []Range
	err := p.scan(start, end, q, func(r Range) {
		if n := len(all); n > 0 && all[n-1].End == r.Start {
			all[n-1].End = r.End
			return
		}
		all = append(all, r)
	})
	return all, err
}

// Guards lists the guard pages (madvise(2), MADV_GUARD_INSTALL) of [start, end).
func (p *Pagemap) Guards(start, end uint64) ([]Range, error) {
	if p.known&Guard == 0 {
		return nil, nil
	}
	var all []Range
	err := p.scan(start, end, Query{All: Guard}, func(r Range) { all = append(all, r) })
	return all, err
}

func (p *Pagemap) scan(start, end uint64, q Query, found func(Range)) error {
	page := uint64(os.Getpagesize())
	if start%page != 0 || end%page != 0 || end < start {
		return fmt.Errorf("pagemap %x-%x: not a range of pages", start, end)
	}
	if p.words {
		return p.scanWords(start, end, q, found)
	}
	return p.scanRegions(start, end, q, found)
}

// probe finds out what the kernel supports. PAGEMAP_SCAN exists since Linux 6.7, and returns EINVAL for categories that it does
// not know.
func (p *Pagemap) probe() {
	for {
		_, err := p.ioctl(0, 0, Query{All: p.known})
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EINVAL) || p.known&Guard == 0 {
			p.words, p.known = true, Guard<<1-1
			return
		}
		p.known &^= Guard
	}
}
