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

// scanRegions calls PAGEMAP_SCAN again from the end of the last region, until a call returns fewer regions than there is room
// for. It cannot use walk_end to see how far the kernel came. The kernel walks in steps of 512 regions and may leave the end of
// an earlier step in walk_end (pagemap_scan_ioctl in fs/proc/task_mmu.c sets it for a step that was cut short, not for the last).
func (p *Pagemap) scanRegions(start, end uint64, q Query, found func(Range)) error {
	for start < end {
		n, err := p.ioctl(start, end, q)
		if err != nil {
			return fmt.Errorf("pagemap %x-%x: PAGEMAP_SCAN: %w", start, end, err)
		}
		for _, r := range p.regions[:n] {
			if r.start < start || r.end <= r.start {
				return fmt.Errorf("pagemap %x-%x: PAGEMAP_SCAN does not advance", start, end)
			}
			found(Range{r.start, r.end})
			start = r.end
		}
		if n < len(p.regions) {
			return nil
		}
	}
	return nil
}

// ioctl fills p.regions and returns the number of regions.
func (p *Pagemap) ioctl(start, end uint64, q Query) (n int, err error) {
	if p.regions == nil {
		p.regions = make([]pageRegion, regionsMax)
	}
	arg := scanArg{
		size:     scanArgSize,
		start:    start,
		end:      end,
		vec:      uint64(uintptr(unsafe.Pointer(&p.regions[0]))),
		vecLen:   regionsMax,
		inverted: uint64(q.Inverted),
		all:      uint64(q.All),
		any:      uint64(q.Any),
	}
	for {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, p.f.Fd(), pagemapScan, uintptr(unsafe.Pointer(&arg)))
		runtime.KeepAlive(p.regions)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(r), nil
	}
}
