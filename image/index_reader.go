package image

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// indexReader reads pages.idx frame by frame.
type indexReader struct {
	r      *bufio.Reader
	at     int64 // how many bytes were read
	size   int64 // size of pages.bin
	spaces []Space
	known  map[Space]bool
	totals Totals
	buf    [frameRecord]byte
	run    [runRecord]byte
}

var errTruncated = errors.New("ends in the middle")

func newIndexReader(r io.Reader, size int64) (*indexReader, error) {
	x := &indexReader{r: bufio.NewReaderSize(r, 64<<10), size: size, known: make(map[Space]bool)}
	b := x.buf[:headerRecord]
	if err := x.read(b); err != nil {
		return nil, err
	}
	if string(b[:8]) != indexMagic {
		return nil, fmt.Errorf("begins with %q, not %q", b[:8], indexMagic)
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != indexFormat {
		return nil, fmt.Errorf("format %d: not %d", v, indexFormat)
	}
	return x, nil
}

// indexReaderAt continues at a place of a pages.idx that was read before. It needs no more than length bytes.
func indexReaderAt(r io.Reader, size int64, from indexPlace, named []Space, length int64) *indexReader {
	return &indexReader{r: bufio.NewReaderSize(r, int(min(length, 64<<10))), at: from.at, size: size,
		known: make(map[Space]bool), spaces: slices.Clip(named[:from.spaces]), totals: Totals{Frames: from.frame}}
}

func (x *indexReader) read(b []byte) error {
	x.at += int64(len(b))
	if _, err := io.ReadFull(x.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errTruncated
		}
		return err
	}
	return nil
}

// next reads the next frame into f and reuses f.Runs. After the last frame it returns io.EOF.
func (x *indexReader) next(f *Frame) error {
	err := x.record(f)
	if err != nil && err != io.EOF {
		return fmt.Errorf("frame %d: %w", x.totals.Frames, err)
	}
	return err
}

func (x *indexReader) record(f *Frame) error {
	le := binary.LittleEndian
	for {
		b := x.buf[:8]
		if err := x.read(b); err != nil {
			return err
		}
		switch tag := le.Uint32(b); tag {
		case tagSpace:
			if err := x.space(le.Uint32(b[4:])); err != nil {
				return err
			}
		case tagFrame:
			return x.frame(f, le.Uint32(b[4:]))
		case tagEnd:
			return x.end(le.Uint32(b[4:]))
		default:
			return fmt.Errorf("unknown record %#x", tag)
		}
	}
}

func (x *indexReader) space(length uint32) error {
	if length == 0 || length > maxSpaceName {
		return fmt.Errorf("name of a space of %d bytes", length)
	}
	if len(x.spaces) == maxSpaces {
		return fmt.Errorf("more than %d spaces", maxSpaces)
	}
	name := make([]byte, (length+7)&^7)
	if err := x.read(name); err != nil {
		return err
	}
	s := Space(name[:length])
	if _, _, err := s.split(); err != nil {
		return err
	}
	if x.known[s] {
		return fmt.Errorf("space %q: named twice", string(s))
	}
	x.known[s] = true
	x.spaces = append(x.spaces, s)
	return nil
}

func (x *indexReader) frame(f *Frame, space uint32) error {
	le := binary.LittleEndian
	b := x.buf[8:frameRecord]
	if err := x.read(b); err != nil {
		return err
	}
	if uint64(space) >= uint64(len(x.spaces)) {
		return fmt.Errorf("space %d of %d", space, len(x.spaces))
	}
	f.Space = x.spaces[space]
	f.Offset = int64(le.Uint64(b))
	f.Stored = le.Uint32(b[8:])
	f.Raw = le.Uint32(b[12:])
	f.CRC = le.Uint32(b[16:])
	f.Codec = Codec(b[20])
	runs := le.Uint32(b[24:])
	if runs == 0 || runs > MaxRuns {
		return fmt.Errorf("%d runs: not 1 to %d", runs, MaxRuns)
	}
	f.Runs = f.Runs[:0]
	for range runs {
		if err := x.read(x.run[:]); err != nil {
			return err
		}
		f.Runs = append(f.Runs, Run{Start: le.Uint64(x.run[:]), Length: le.Uint64(x.run[8:])})
	}
	f.Source = ""
	if f.Codec == CodecSame {
		if err := x.source(f); err != nil {
			return err
		}
	}
	if err := f.check(x.size); err != nil {
		return err
	}
	x.totals.add(f)
	return nil
}

// source replaces the number of the space that has the content of a frame.
func (x *indexReader) source(f *Frame) error {
	if uint64(f.Offset) >= uint64(len(x.spaces)) {
		return fmt.Errorf("content of space %d of %d", uint64(f.Offset), len(x.spaces))
	}
	f.Source, f.Offset = x.spaces[f.Offset], 0
	for _, s := range []Space{f.Space, f.Source} {
		if kind, _, _ := s.split(); kind != processSpace {
			return fmt.Errorf("space %q: same content in something else than two processes", string(s))
		}
	}
	return nil
}

// end compares the totals of the end record with those of the frames that were read.
func (x *indexReader) end(spaces uint32) error {
	le := binary.LittleEndian
	b := x.buf[8:endRecord]
	if err := x.read(b); err != nil {
		return err
	}
	x.totals.Spaces = uint32(len(x.spaces))
	want := Totals{Spaces: spaces, Frames: le.Uint64(b), Stored: le.Uint64(b[8:]), Raw: le.Uint64(b[16:]), Same: x.totals.Same}
	if x.totals != want {
		return fmt.Errorf("totals: is %+v, must be %+v", x.totals, want)
	}
	if want.Stored > uint64(x.size) { // it may be less: there are gaps before and in cloned files
		return fmt.Errorf("totals: %d bytes stored, %s has %d", want.Stored, pagesFile, x.size)
	}
	if _, err := x.r.ReadByte(); err != io.EOF {
		return errors.New("data after the end record")
	}
	return io.EOF
}
