package dump

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/cause"
	"crak.dev/crak/internal/proc"
)

// Memory is what a process has in its address space, opened once: another process that gets its PID later, or another
// program that it executes, is not what is read.
type Memory struct {
	reader  *reader
	pagemap *proc.Pagemap
}

// Memory opens that of process pid: the member's twin, or the member itself where it stays frozen. It is closed with the
// member.
func (m *Member) Memory(pid int) (*Memory, error) {
	reader, err := m.reader(pid)
	if err != nil {
		return nil, m.fail(err)
	}
	pagemap, err := proc.OpenPagemap(pid)
	if err != nil {
		return nil, m.fail(err)
	}
	m.open = append(m.open, pagemap)
	return &Memory{reader, pagemap}, nil
}

// SavePrivate streams the private memory that Capture planned. put is a Writer's Put or PutSync.
func (m *Member) SavePrivate(put Put, from *Memory) error { return m.save(put, m.plan.twin, from) }

// Put is how a Writer takes pages.
type Put func(image.Space, []image.Run, func([]byte, []image.Run) error) error

func (m *Member) save(put Put, areas []area, from *Memory) error {
	space := image.ProcessSpace(m.process.Pid)
	var runs, ofFiles []image.Run
	for _, a := range areas {
		found, err := a.runs(from.pagemap)
		if err != nil {
			return m.fail(err)
		}
		if a.saved == proc.Anonymous {
			runs = append(runs, found...)
		} else {
			ofFiles = append(ofFiles, found...)
		}
	}
	if err := put(space, ofFiles, from.reader.readFile); err != nil {
		return err
	}
	return put(space, runs, from.reader.read)
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

// reader reads the memory of a process by its file mem, whatever the protection. (process_vm_readv(2) would be
// fewer calls, but it pins pages, and a page that is pinned while two processes share it is copied first: the twin would
// end up with all of the program's memory once more.)
type reader struct {
	pid int
	mem *os.File
}

// reader opens the memory of process pid. It is closed with the member.
func (m *Member) reader(pid int) (*reader, error) {
	f, err := os.Open(proc.Path(pid, "mem"))
	if err != nil {
		return nil, err
	}
	m.open = append(m.open, f)
	return &reader{pid, f}, nil
}

// Close is for when the image is committed, or given up.
func (m *Member) Close() {
	for _, f := range m.open {
		f.Close()
	}
	m.open = nil
	m.executable.Close()
}

// read reads runs, one after the other, into dst. What cannot be read is an error.
func (r *reader) read(dst []byte, runs []image.Run) error { return r.each(dst, runs, false) }

// readFile is read for mappings of files: pages that lie behind the end of the file, where the program itself would get
// SIGBUS, read as zeroes.
func (r *reader) readFile(dst []byte, runs []image.Run) error { return r.each(dst, runs, true) }

func (r *reader) each(dst []byte, runs []image.Run, mayEnd bool) error {
	page := os.Getpagesize()
	for _, run := range runs {
		part := dst[:run.Length]
		dst = dst[run.Length:]
		for at := 0; at < len(part); {
			n, err := r.mem.ReadAt(part[at:], int64(run.Start)+int64(at))
			at += n
			switch {
			case at == len(part):
			case errors.Is(err, io.EOF): // no memory at all: the process is dead
				return fmt.Errorf("pid %d: memory at %#x: %w", r.pid, run.Start, unix.ESRCH)
			case !mayEnd || !errors.Is(err, unix.EIO):
				return fmt.Errorf("pid %d: memory at %#x: %w", r.pid, run.Start+uint64(at), cause.Of(err))
			default:
				end := min((at/page+1)*page, len(part))
				clear(part[at:end])
				at = end
			}
		}
	}
	return nil
}
