package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/restore/compile"
	"crak.dev/crak/restore/program"
)

const iovMax = 1024 // UIO_MAXIOV

// fillsAtOnce is how many members are filled at the same time.
func fillsAtOnce() int { return 2 * runtime.GOMAXPROCS(0) }

// start has a goroutine do something for a member, and tell the member to go on.
func (c *coordinator) start(m *member, work func() error) {
	c.filling.Add(1)
	c.fills.Go(func() {
		c.places <- struct{}{}
		defer func() { <-c.places; c.filling.Add(-1) }()
		err := work()
		if err == nil {
			err = c.group.goOn(m)
		}
		if err == nil || errors.Is(err, unix.ESRCH) { // the member has ended, and crak will notice
			return
		}
		select {
		case c.failed <- err:
		default: // another error came first
		}
		c.events.wakeUp()
	})
}

// fillMember writes what only crak can write: the content of private memory, the content of shared memory that this member maps
// first, and settings in /proc.
func (g *group) fillMember(ctx context.Context, m *member) error {
	err := g.img.FillRest(ctx, image.ProcessSpace(m.pid()), g.programs.Kept[m.pid()], 0, g.filler(m.seen, 0))
	if err != nil {
		return err
	}
	if err := m.fillVDSO(); err != nil {
		return err
	}
	for id, at := range g.programs.Shared {
		if g.fillsShared(m, id, at) {
			if err := g.fillSpace(ctx, image.MemorySpace(id), m.seen, g.interpreter.layout.Address(at)); err != nil {
				return err
			}
		}
	}
	if err := g.goOnWithCPUTime(m); err != nil {
		return err
	}
	g.adjust(m)
	return nil
}

// fillsShared tells whether a shared memory object, which is at an address, is filled in this member. The root has those in the
// staging area. An object that is at its final place has only one mapping.
func (g *group) fillsShared(m *member, id image.MemoryID, at program.Arg) bool {
	if at.Kind == program.ArgStaging {
		return m == g.root()
	}
	return slices.ContainsFunc(m.process.Mappings, func(v image.Mapping) bool { return v.Kind == image.MappingMemory && v.Memory == id })
}

// fillVDSO writes the code of the vDSO of the kernel on which the image was made, if that is another kernel.
func (of *member) fillVDSO() error {
	if of.vdso == nil {
		return nil
	}
	run := image.Run{Start: of.vdso.address, Length: uint64(len(of.vdso.code))}
	if _, err := writeRuns(of.seen, 0, []image.Run{run}, of.vdso.code); err != nil {
		return fmt.Errorf("pid %d: vDSO at %v: %w", of.pid(), run, err)
	}
	return nil
}

// fillSpace writes a space. Its address 0 is at base in the member.
func (g *group) fillSpace(ctx context.Context, space image.Space, pid int, base uint64) error {
	return g.img.Fill(ctx, space, 0, g.filler(pid, base))
}

// filler returns a function that writes a frame of a space.
func (g *group) filler(pid int, base uint64) func(runs []image.Run, data []byte) error {
	return func(runs []image.Run, data []byte) error {
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
	}
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

// findContent finds out for which pages of a member the image has content.
func findContent(img *image.Image, p *compile.Process) error {
	p.Filled = make(map[int]bool)
	parents := image.ProcessSpace(p.Parent)
	for f, err := range img.Frames(image.ProcessSpace(p.Pid)) {
		if err != nil {
			return err
		}
		to := &p.Pages.Own
		if f.Codec == image.CodecSame && f.Source == parents {
			to = &p.Pages.Same
			p.Pages.Like = p.Parent
		}
		*to = append(*to, f.Runs...)
		for _, r := range f.Runs {
			markFilled(p.Filled, p.Mappings, r)
		}
	}
	for _, all := range [][]image.Run{p.Pages.Same, p.Pages.Own} {
		slices.SortFunc(all, func(a, b image.Run) int { return cmp.Compare(a.Start, b.Start) })
	}
	return nil
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
