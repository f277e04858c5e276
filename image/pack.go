package image

import (
	"bytes"
	"fmt"
	"sync"
)

// job is the content of one frame that is still to be read.
type job struct {
	space    Space
	runs     []Run
	fill     func(dst []byte, runs []Run) error
	compress bool
	pending  *sync.WaitGroup // told when the job is done, if not nil
}

// frameBytes is how much content the Writer puts into a frame: a buffer of it, and another one of
// what it is compressed to, stay in the second-level cache.
const frameBytes = 256 << 10

// cut splits runs into parts of at most frameBytes and MaxRuns, and never within a page.
func cut(runs []Run, emit func(part []Run) error) error {
	var part []Run
	room := uint64(frameBytes)
	flush := func() error {
		if len(part) == 0 {
			return nil
		}
		full := part
		part, room = nil, frameBytes
		return emit(full)
	}
	for _, r := range runs {
		for r.Length > 0 {
			if room < PageSize || len(part) == MaxRuns {
				if err := flush(); err != nil {
					return err
				}
			}
			n := r.Length
			if n > room {
				n = room &^ (PageSize - 1)
			}
			part = append(part, Run{Start: r.Start, Length: n, KeepZero: r.KeepZero})
			room -= n
			r.Start += n
			r.Length -= n
		}
	}
	return flush()
}

// packer is a worker of a Writer and its buffers.
type packer struct {
	w    *Writer
	raw  []byte
	zstd *compressor
	data []Run
	zero []Run
}

func newPacker(w *Writer) *packer {
	return &packer{w: w, raw: make([]byte, frameBytes)}
}

func (k *packer) run(j job) {
	if k.w.failed.get() == nil {
		if err := k.pack(j); err != nil {
			k.w.failed.set(fmt.Errorf("image %q: %w", k.w.Path(), err))
		}
	}
	if j.pending != nil {
		j.pending.Done()
	}
}

// pack reads the job's content and stores it: zero pages that are to be kept as one frame, all other
// pages as another.
func (k *packer) pack(j job) error {
	total := runBytes(j.runs)
	raw := k.raw[:total]
	if err := j.fill(raw, j.runs); err != nil {
		return err
	}
	raw = k.sift(raw, j.runs)
	defer k.w.done.Add(total)
	if len(k.zero) > 0 {
		n := runBytes(k.zero)
		f := Frame{Space: j.space, Codec: CodecZero, Raw: uint32(n), CRC: checksum(zeroes[:n]), Runs: k.zero}
		if err := k.w.append(&f, nil); err != nil {
			return err
		}
	}
	if len(raw) == 0 {
		return nil
	}
	f := Frame{Space: j.space, Codec: CodecNone, Raw: uint32(len(raw)), CRC: checksum(raw), Runs: k.data}
	if j.compress {
		if k.zstd == nil {
			k.zstd = newCompressor()
		}
		if smaller, ok := k.zstd.compress(raw); ok {
			f.Codec = CodecZstd
			return k.w.append(&f, smaller)
		}
	}
	return k.w.append(&f, raw)
}

var zeroes [MaxFrame]byte

// sift moves the pages that are not zero together, and returns them. Their runs are
// then in k.data, those of zero pages to be kept in k.zero.
func (k *packer) sift(raw []byte, runs []Run) []byte {
	k.data, k.zero = k.data[:0], k.zero[:0]
	kept, at := 0, 0
	for _, r := range runs {
		for r.Length > 0 {
			n := int(min(r.Length, PageSize))
			page := raw[at : at+n]
			one := Run{Start: r.Start, Length: uint64(n)}
			switch {
			case !bytes.Equal(page, zeroes[:n]):
				if kept != at {
					copy(raw[kept:], page)
				}
				kept += n
				k.data = appendRun(k.data, one)
			case r.KeepZero:
				k.zero = appendRun(k.zero, one)
			}
			at += n
			r.Start += uint64(n)
			r.Length -= uint64(n)
		}
	}
	return raw[:kept]
}
