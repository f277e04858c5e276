package dump

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/cause"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/retry"
)

// Memory is the memory of a process. While it is open, it is never that of a later process with the same PID, or of another
// program that the process has executed.
type Memory struct {
	reader  *reader
	pagemap *proc.Pagemap
}

// Memory opens the memory of process pid, which is the member's twin, or the member itself if it stays frozen.
func (m *Member) Memory(pid int) (*Memory, error) {
	reader, err := openReader(pid)
	if err != nil {
		return nil, m.fail(err)
	}
	pagemap, err := proc.OpenPagemap(pid)
	if err != nil {
		reader.close()
		return nil, m.fail(err)
	}
	return &Memory{reader, pagemap}, nil
}

// Close closes the memory, which may be nil.
func (m *Memory) Close() {
	if m != nil {
		m.reader.close()
		m.pagemap.Close()
	}
}

// Put is the type of image.Writer's PutLike and PutLikeSync.
type Put func(like *image.Like, space image.Space, runs []image.Run, fill func([]byte, []image.Run) error, pending *sync.WaitGroup) error

// SavePrivate streams the private memory that Capture planned, of all members. open opens the memory of the twin of a member, or of
// the member itself. A child shares memory with its parent until one of them writes to it. So pages that a member and its parent
// have in common are stored only once. Page frame numbers would show which pages these are, but an ordinary user may not read them.
// So SavePrivate compares the content.
func SavePrivate(members []*Member, open func(i int) (*Memory, error), put Put) error {
	number := make(map[image.Pid]int)
	for i, m := range members {
		number[m.process.Pid] = i
	}
	depths := make([]int, len(members)) // the number of processes through which the content comes
	var all readings
	parent := opened{number: -1}
	defer func() {
		all.close(parent.memory)
		all.end(0)
	}()
	for i, m := range members {
		own, err := m.open(i, open)
		if err != nil {
			return err
		}
		n, known := number[m.process.Parent]
		known = known && n < i && depths[n] < image.LikeMost
		if known {
			depths[i] = depths[n] + 1
		}
		if known && parent.number != n { // children of the same parent often follow each other
			all.close(parent.memory)
			if parent, err = members[n].open(n, open); err != nil {
				own.memory.Close()
				return err
			}
		}
		r := all.begin(own.memory)
		if known {
			err = m.savePages(own, &parent, put, &r.pending)
		} else {
			err = m.savePages(own, nil, put, &r.pending)
		}
		if err != nil {
			return err
		}
		all.end(readingsMost())
	}
	return nil
}

// opened is the memory of the member with a number, and which of its pages are saved.
type opened struct {
	number  int
	process image.Pid
	memory  *Memory
	pages   pages
}

func (m *Member) open(number int, open func(i int) (*Memory, error)) (opened, error) {
	memory, err := open(number)
	if err != nil {
		return opened{number: -1}, err
	}
	p, err := m.pages(m.plan.twin, memory.pagemap)
	memory.pagemap.Close()
	if err != nil {
		memory.Close()
		return opened{number: -1}, err
	}
	return opened{number, m.process.Pid, memory, p}, nil
}

// savePages saves a member's pages. Where its parent, which may be nil, has the same pages, it compares them.
func (m *Member) savePages(own opened, parent *opened, put Put, pending *sync.WaitGroup) error {
	var like pages
	if parent != nil {
		like = parent.pages
	}
	for _, kind := range []struct {
		own, parents []image.Run
		read         func(*reader) func([]byte, []image.Run) error
	}{
		{own.pages.ofFiles, like.ofFiles, func(r *reader) func([]byte, []image.Run) error { return r.readFile }},
		{own.pages.anonymous, like.anonymous, func(r *reader) func([]byte, []image.Run) error { return r.read }},
	} {
		alone := image.Subtract(kind.own, kind.parents)
		space, read := image.ProcessSpace(own.process), kind.read(own.memory.reader)
		if err := put(nil, space, alone, read, pending); err != nil {
			return err
		}
		if parent == nil {
			continue
		}
		like := &image.Like{Space: image.ProcessSpace(parent.process), Read: kind.read(parent.memory.reader)}
		if err := put(like, space, image.Subtract(kind.own, alone), read, pending); err != nil {
			return err
		}
	}
	return nil
}

// pages are the runs that are saved, sorted.
type pages struct{ ofFiles, anonymous []image.Run }

func (m *Member) pages(areas []area, pagemap *proc.Pagemap) (p pages, err error) {
	for _, a := range areas {
		found, err := a.runs(pagemap)
		if err != nil {
			return p, m.fail(err)
		}
		if a.saved == proc.Anonymous {
			p.anonymous = append(p.anonymous, found...)
		} else {
			p.ofFiles = append(p.ofFiles, found...)
		}
	}
	return p, nil
}

// runs lists the pages of an area that must be saved. Pages of zeroes are saved only if a file is behind them, whose content
// would appear otherwise.
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

// reader reads the memory of a process through /proc/PID/mem, which ignores the protection of pages. (process_vm_readv(2)
// would need fewer calls, but it pins pages, and the kernel copies a page that is pinned while two processes share it. The
// twin would end up with a copy of the program's whole memory.)
type reader struct {
	pid int
	mem int // descriptor: an os.File would make five more system calls while programs are frozen
}

func openReader(pid int) (*reader, error) {
	path := proc.Path(pid, "mem")
	mem, err := retry.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &reader{pid, mem}, nil
}

func (r *reader) close() { unix.Close(r.mem) }

// read reads the runs, one after the other, into dst. Memory that cannot be read is an error.
func (r *reader) read(dst []byte, runs []image.Run) error { return r.each(dst, runs, false) }

// readFile is read for mappings of files. Pages behind the end of the file, where the program itself would get SIGBUS, read
// as zeroes.
func (r *reader) readFile(dst []byte, runs []image.Run) error { return r.each(dst, runs, true) }

func (r *reader) each(dst []byte, runs []image.Run, mayEnd bool) error {
	page := os.Getpagesize()
	for _, run := range runs {
		part := dst[:run.Length]
		dst = dst[run.Length:]
		for at := 0; at < len(part); {
			n, err := unix.Pread(r.mem, part[at:], int64(run.Start)+int64(at))
			at += max(n, 0)
			switch {
			case at == len(part) || n > 0 || err == unix.EINTR:
			case err == nil: // the process is dead and has no memory any more
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
