package dump

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// SavePrivate streams the private memory that Capture planned. It is read from process pid: the
// member's twin, or the member itself where it stays frozen. put is a Writer's Put or PutSync.
func (m *Member) SavePrivate(put Put, pid int) error {
	return m.save(put, m.plan.twin, pid)
}

// Put is how a Writer takes pages.
type Put func(image.Space, []image.Run, func([]byte, []image.Run) error) error

func (m *Member) save(put Put, areas []area, pid int) error {
	if len(areas) == 0 {
		return nil
	}
	pagemap, err := proc.OpenPagemap(pid)
	if err != nil {
		return m.fail(err)
	}
	defer pagemap.Close()
	memory := &reader{pid: pid}
	space := image.ProcessSpace(m.process.Pid)
	var runs []image.Run
	for _, a := range areas {
		found, err := a.runs(pagemap)
		if err != nil {
			return m.fail(err)
		}
		if !a.unreadable && !a.whole {
			runs = append(runs, found...)
			continue
		}
		if err := put(space, found, memory.forced); err != nil {
			return err
		}
	}
	return put(space, runs, memory.plain)
}

// runs lists the pages of an area that are to be saved. Zeroes count where a file is behind them.
func (a area) runs(pagemap *proc.Pagemap) ([]image.Run, error) {
	if a.end <= a.start {
		return nil, nil
	}
	if a.whole {
		return []image.Run{{Start: a.start, Length: a.end - a.start, KeepZero: true}}, nil
	}
	found, err := pagemap.Pages(a.start, a.end, a.saved)
	if err != nil {
		return nil, err
	}
	runs := make([]image.Run, len(found))
	for i, r := range found {
		runs[i] = image.Run{Start: r.Start, Length: r.End - r.Start, KeepZero: a.saved == proc.PrivateFile}
	}
	return runs, nil
}

// reader reads the memory of a process.
type reader struct{ pid int }

// iovMax is UIO_MAXIOV.
const iovMax = 1024

// plain reads memory that the process itself may read (process_vm_readv(2)).
func (r *reader) plain(dst []byte, runs []image.Run) error {
	remote := make([]unix.RemoteIovec, 0, min(len(runs), iovMax))
	for len(runs) > 0 {
		n := 0
		remote = remote[:0]
		for _, run := range runs[:min(len(runs), iovMax)] {
			remote = append(remote, unix.RemoteIovec{Base: uintptr(run.Start), Len: int(run.Length)})
			n += int(run.Length)
		}
		local := []unix.Iovec{{Base: &dst[0], Len: uint64(n)}}
		got, err := unix.ProcessVMReadv(r.pid, local, remote, 0)
		if err != nil {
			return fmt.Errorf("pid %d: memory at %#x: %w", r.pid, runs[0].Start, err)
		}
		if got != n {
			return fmt.Errorf("pid %d: memory at %#x: %d of %d bytes are readable", r.pid, runs[0].Start, got, n)
		}
		dst = dst[n:]
		runs = runs[len(remote):]
	}
	return nil
}

// forced reads memory whatever its protection. Pages that lie behind the end of a
// mapped file, where the program itself would get SIGBUS, read as zeroes.
func (r *reader) forced(dst []byte, runs []image.Run) error {
	f, err := os.Open(proc.Path(r.pid, "mem"))
	if err != nil {
		return err
	}
	defer f.Close()
	page := os.Getpagesize()
	for _, run := range runs {
		part := dst[:run.Length]
		dst = dst[run.Length:]
		for at := 0; at < len(part); {
			n, err := f.ReadAt(part[at:], int64(run.Start)+int64(at))
			at += n
			if errors.Is(err, io.EOF) { // no memory at all: the process is dead
				return fmt.Errorf("pid %d: memory at %#x: %w", r.pid, run.Start, unix.ESRCH)
			}
			if err != nil && at < len(part) {
				end := min((at/page+1)*page, len(part))
				clear(part[at:end])
				at = end
			}
		}
	}
	return nil
}
