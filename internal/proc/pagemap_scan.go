package proc

import (
	"fmt"
	"runtime"
	"structs"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pageRegion is struct page_region (linux/fs.h).
type pageRegion struct {
	_                      structs.HostLayout
	start, end, categories uint64
}

// scanArg is struct pm_scan_arg (linux/fs.h).
type scanArg struct {
	_          structs.HostLayout
	size       uint64
	flags      uint64
	start      uint64
	end        uint64
	walkEnd    uint64
	vec        uint64
	vecLen     uint64
	maxPages   uint64
	inverted   uint64
	all        uint64
	any        uint64
	returnMask uint64
}

const (
	scanArgSize = 96
	pagemapScan = 0xc0606610 // _IOWR('f', 16, struct pm_scan_arg)
	regionsMax  = 4096       // regions in one call: 96 KiB
)

var _ [scanArgSize]byte = [unsafe.Sizeof(scanArg{})]byte{}

// scanRegions asks again from where the last walk ended, until that is the end.
func (p *Pagemap) scanRegions(start, end uint64, q Query, want Category, found func(Region)) error {
	for start < end {
		n, walkEnd, err := p.ioctl(start, end, q, want)
		if err != nil {
			return fmt.Errorf("pagemap %x-%x: PAGEMAP_SCAN: %w", start, end, err)
		}
		for _, r := range p.regions[:n] {
			found(Region{Range{r.start, r.end}, Category(r.categories)})
		}
		if walkEnd <= start {
			return fmt.Errorf("pagemap %x-%x: PAGEMAP_SCAN does not advance", start, end)
		}
		start = walkEnd
	}
	return nil
}

// ioctl fills p.regions and tells how many there are and how far the walk came.
func (p *Pagemap) ioctl(start, end uint64, q Query, want Category) (n int, walkEnd uint64, err error) {
	if p.regions == nil {
		p.regions = make([]pageRegion, regionsMax)
	}
	arg := scanArg{
		size:       scanArgSize,
		start:      start,
		end:        end,
		vec:        uint64(uintptr(unsafe.Pointer(&p.regions[0]))),
		vecLen:     regionsMax,
		inverted:   uint64(q.Inverted),
		all:        uint64(q.All),
		any:        uint64(q.Any),
		returnMask: uint64(want),
	}
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, p.f.Fd(), pagemapScan, uintptr(unsafe.Pointer(&arg)))
		runtime.KeepAlive(p.regions)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, 0, errno
		}
		return int(r), arg.walkEnd, nil
	}
}
