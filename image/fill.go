package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"sync"

	"crak.dev/crak/internal/cause"
)

// Frames returns the frames of a space in the order of the index, or the frames of all spaces if s is empty. The Runs of a frame
// are valid until the next frame.
func (i *Image) Frames(s Space) iter.Seq2[*Frame, error] {
	return func(yield func(*Frame, error) bool) {
		c, err := i.cursor(s)
		if err != nil {
			yield(nil, err)
			return
		}
		var f Frame
		for {
			_, err := c.next(&f)
			if err == io.EOF {
				return
			}
			if !yield(&f, err) || err != nil {
				return
			}
		}
	}
}

// Fill reads the content of a space. It calls fn for each frame, in no particular order, after it has checked the frame. data has
// the content of the runs, one after the other. runs and data are valid until fn returns. Several goroutines call fn at the same
// time: workers of them, or one per processor if workers is 0. Zero pages that the writer left out are not passed to fn. Content
// that is the same in another process is read from the frames of that process. Fill stops at the first error. It returns an error
// of fn unchanged; every other error is an *Error.
func (i *Image) Fill(ctx context.Context, s Space, workers int, fn func(runs []Run, data []byte) error) error {
	return i.fill(ctx, s, nil, nil, workers, fn)
}

// FillRest is Fill for a process that already shares memory with the process that has some of its content. It leaves out the runs
// of that content that are in kept. kept is sorted.
func (i *Image) FillRest(ctx context.Context, s Space, kept []Run, workers int, fn func(runs []Run, data []byte) error) error {
	return i.fill(ctx, s, nil, kept, workers, fn)
}

func (i *Image) each(ctx context.Context, s Space, workers int, fn func(f *Frame, data []byte) error) error {
	if _, ok := i.extent[s]; !ok && s != "" {
		return nil
	}
	c, err := i.cursor(s)
	if err != nil {
		return err
	}
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var failed failure
	var all sync.WaitGroup
	for range min(workers, maxWorkers) {
		all.Go(func() {
			u := unpacker{pages: i.pages}
			for failed.get() == nil {
				if err := ctx.Err(); err != nil {
					failed.set(err)
					return
				}
				err := c.unpack(&u, fn)
				if err == io.EOF {
					return
				}
				if err != nil {
					failed.set(err)
				}
			}
		})
	}
	all.Wait()
	return failed.get()
}

// cursor iterates over the frames of a space. Several goroutines may share it.
type cursor struct {
	path  string
	space Space
	mu    sync.Mutex
	index *indexReader
	n     uint64 // number of the next frame
	end   uint64 // number after the last frame
	pages *os.File
}

func (i *Image) cursor(s Space) (*cursor, error) {
	size := i.Manifest.file(indexFile).Size
	pagesSize := i.Manifest.file(pagesFile).Size
	if s != "" {
		e := i.extent[s]
		r := indexReaderAt(io.NewSectionReader(i.idx, e.begin.at, size-e.begin.at), pagesSize, e.begin, i.spaces, e.length)
		return &cursor{path: i.Path, space: s, index: r, n: e.begin.frame, end: e.end, pages: i.pages}, nil
	}
	r, err := newIndexReader(io.NewSectionReader(i.idx, 0, size), pagesSize)
	if err != nil {
		return nil, &Error{i.Path, indexFile, err}
	}
	return &cursor{path: i.Path, index: r, end: i.totals.Frames, pages: i.pages}, nil
}

// next reads the next frame of the space into f and returns its number.
func (c *cursor) next(f *Frame) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		n := c.n
		if n >= c.end {
			return 0, io.EOF
		}
		if err := c.index.next(f); err != nil {
			if err != io.EOF {
				err = &Error{c.path, indexFile, err}
			}
			return 0, err
		}
		c.n++
		if c.space == "" || f.Space == c.space {
			return n, nil
		}
	}
}

// unpack reads the next frame and calls fn with its content.
func (c *cursor) unpack(u *unpacker, fn func(f *Frame, data []byte) error) error {
	n, err := c.next(&u.frame)
	if err != nil {
		return err
	}
	readAhead(c.pages, u.frame.Offset, int64(u.frame.Stored))
	data, err := u.content(&u.frame)
	if err != nil {
		return &Error{c.path, pagesFile, fmt.Errorf("frame %d: %w", n, err)}
	}
	return fn(&u.frame, data)
}

// unpacker reads frames, one at a time.
type unpacker struct {
	pages io.ReaderAt
	frame Frame
	buf   []byte
	zstd  *decompressor
}

// content reads the content of a frame and checks it. The result is valid until the next call.
func (u *unpacker) content(f *Frame) ([]byte, error) {
	if f.Codec == CodecZero {
		return zeroes[:f.Raw], nil
	}
	if f.Codec == CodecSame {
		return nil, nil
	}
	if cap(u.buf) < int(f.Stored) {
		u.buf = make([]byte, max(int(f.Stored), frameBytes))
	}
	data := u.buf[:f.Stored]
	if _, err := u.pages.ReadAt(data, f.Offset); err != nil {
		if errors.Is(err, io.EOF) {
			err = errTruncated
		}
		return nil, cause.Of(err)
	}
	if f.Codec == CodecZstd {
		if u.zstd == nil {
			u.zstd = newDecompressor()
		}
		var err error
		if data, err = u.zstd.decompress(data, int(f.Raw)); err != nil {
			return nil, err
		}
	}
	if checksum(data) != f.CRC {
		return nil, fmt.Errorf("damaged: CRC-32C is not the one in %s", indexFile)
	}
	return data, nil
}
