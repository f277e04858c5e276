package image

import (
	"bufio"
	"encoding/binary"
	"io"
)

// pages.idx is a stream of little-endian records. Neither the writer nor the reader has to keep all of it in memory.
//
//	header  magic[8] "CRAKIDX\n"  format u32  zero u32
//	space   tag u32 = 1  length u32  name[length], padded with zeroes to 8 bytes
//	frame   tag u32 = 2  space u32  offset u64  stored u32  raw u32  crc u32
//	        codec u8  zero[3]  runs u32  zero u32, then runs × { start u64  length u64 }
//	end     tag u32 = 3  spaces u32  frames u64  stored u64  raw u64
//
// Spaces are numbered from 0 in the order of their records. The record of a space comes before the first frame that refers to it.
// A frame of codec "same" has the number of another space in place of an offset.
const (
	indexMagic  = "CRAKIDX\n"
	indexFormat = 1 // has a number of its own: it has not changed since format 1 of the image

	tagSpace = 1
	tagFrame = 2
	tagEnd   = 3

	headerRecord = 16
	frameRecord  = 40
	endRecord    = 32
	runRecord    = 16

	maxSpaces    = 1 << 17
	maxSpaceName = 64
)

// Totals are sums over an index.
type Totals struct {
	Spaces uint32
	Frames uint64
	Stored uint64 // bytes
	Raw    uint64 // bytes
	Same   uint64 // bytes of Raw that are the same as in another process; not in the end record
}

func (t *Totals) add(f *Frame) {
	t.Frames++
	t.Stored += uint64(f.Stored)
	t.Raw += uint64(f.Raw)
	if f.Codec == CodecSame {
		t.Same += uint64(f.Raw)
	}
}

// indexWriter writes pages.idx.
type indexWriter struct {
	w      *bufio.Writer
	spaces map[Space]uint32
	totals Totals
	buf    []byte
}

func newIndexWriter(w io.Writer) *indexWriter {
	x := &indexWriter{w: bufio.NewWriterSize(w, 64<<10), spaces: make(map[Space]uint32)}
	b := append(x.buf, indexMagic...)
	b = binary.LittleEndian.AppendUint32(b, indexFormat)
	b = binary.LittleEndian.AppendUint32(b, 0)
	x.w.Write(b) // bufio.Writer keeps an error until Flush
	return x
}

// number is the number of a space. If the space is new, its record is appended to b.
func (x *indexWriter) number(s Space, b []byte) (uint32, []byte) {
	n, ok := x.spaces[s]
	if !ok {
		n = uint32(len(x.spaces))
		x.spaces[s] = n
		x.totals.Spaces++
		b = binary.LittleEndian.AppendUint32(b, tagSpace)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
		b = append(b, make([]byte, -len(s)&7)...)
	}
	return n, b
}

func (x *indexWriter) frame(f *Frame) error {
	le := binary.LittleEndian
	n, b := x.number(f.Space, x.buf[:0])
	offset := uint64(f.Offset)
	if f.Codec == CodecSame {
		var source uint32
		source, b = x.number(f.Source, b)
		offset = uint64(source)
	}
	b = le.AppendUint32(b, tagFrame)
	b = le.AppendUint32(b, n)
	b = le.AppendUint64(b, offset)
	b = le.AppendUint32(b, f.Stored)
	b = le.AppendUint32(b, f.Raw)
	b = le.AppendUint32(b, f.CRC)
	b = append(b, byte(f.Codec), 0, 0, 0)
	b = le.AppendUint32(b, uint32(len(f.Runs)))
	b = le.AppendUint32(b, 0)
	for _, r := range f.Runs {
		b = le.AppendUint64(b, r.Start)
		b = le.AppendUint64(b, r.Length)
	}
	x.buf = b
	x.totals.add(f)
	_, err := x.w.Write(b)
	return err
}

func (x *indexWriter) end() error {
	le := binary.LittleEndian
	b := le.AppendUint32(x.buf[:0], tagEnd)
	b = le.AppendUint32(b, x.totals.Spaces)
	b = le.AppendUint64(b, x.totals.Frames)
	b = le.AppendUint64(b, x.totals.Stored)
	b = le.AppendUint64(b, x.totals.Raw)
	x.w.Write(b)
	return x.w.Flush()
}
