package restore

import (
	"context"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

const iovMax = 1024 // UIO_MAXIOV

// fillProcess writes the private memory of a member. seen is its PID in our PID namespace.
func (g *group) fillProcess(ctx context.Context, pid image.Pid, seen int) error {
	return g.fillSpace(ctx, image.ProcessSpace(pid), seen, 0)
}

// fillVDSO writes the code of the vDSO of the kernel on which the image was made, if that is another kernel.
func (of *member) fillVDSO(pid int) error {
	if of.vdso == nil {
		return nil
	}
	run := image.Run{Start: of.vdso.address, Length: uint64(len(of.vdso.code))}
	if _, err := writeRuns(pid, 0, []image.Run{run}, of.vdso.code); err != nil {
		return fmt.Errorf("pid %d: vDSO at %v: %w", pid, run, err)
	}
	return nil
}

// fillShared writes a shared memory object that a member has mapped at base.
func (g *group) fillShared(ctx context.Context, id image.MemoryID, pid int, base uint64) error {
	return g.fillSpace(ctx, image.MemorySpace(id), pid, base)
}

// fillSpace writes a space. Its address 0 is at base in the member.
func (g *group) fillSpace(ctx context.Context, space image.Space, pid int, base uint64) error {
	return g.img.Fill(ctx, space, 0, func(runs []image.Run, data []byte) error {
		for len(runs) > 0 {
			n := min(len(runs), iovMax)
			length, err := writeRuns(pid, base, runs[:n], data)
			if err != nil {
				return fmt.Errorf("pid %d: memory at %v: %w", pid, runs[0], err)
			}
			runs, data = runs[n:], data[length:]
			g.filled.Add(uint64(length))
		}
		return nil
	})
}

// writeRuns writes the first bytes of data to the runs. It returns their number.
func writeRuns(pid int, base uint64, runs []image.Run, data []byte) (int, error) {
	remote := make([]unix.RemoteIovec, len(runs))
	length := 0
	for i, r := range runs {
		remote[i] = unix.RemoteIovec{Base: uintptr(base + r.Start), Len: int(r.Length)}
		length += int(r.Length)
	}
	local := []unix.Iovec{{Base: unsafe.SliceData(data), Len: uint64(length)}}
	n, err := unix.ProcessVMWritev(pid, local, remote, 0)
	if err == nil && n != length {
		err = fmt.Errorf("%d bytes of %d", n, length)
	}
	return length, err
}

// filledMappings returns the mappings of a member for which the image has content, by index.
func filledMappings(img *image.Image, p *image.Process) (map[int]bool, error) {
	filled := make(map[int]bool)
	for f, err := range img.Frames(image.ProcessSpace(p.Pid)) {
		if err != nil {
			return nil, err
		}
		for _, r := range f.Runs {
			markFilled(filled, p.Mappings, r)
		}
	}
	return filled, nil
}

func markFilled(filled map[int]bool, all []image.Mapping, r image.Run) {
	lo, hi := 0, len(all)
	for lo < hi {
		mid := (lo + hi) / 2
		if uint64(all[mid].End) <= r.Start {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < len(all) && uint64(all[lo].Start) < r.End(); lo++ {
		filled[lo] = true
	}
}
