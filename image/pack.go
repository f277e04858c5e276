package image

import (
	"bytes"
	"fmt"
	"sync"
)

// job describes the content of one frame that a worker has not read yet.
type job struct {
	space    Space
	runs     []Run
	fill     func(dst []byte, runs []Run) error
	like     *Like // nil: store all
	compress bool
	cloned   bool            // the content is in pages.bin already
	at       int64           // where the content of address 0 is, if it is cloned
	pending  *sync.WaitGroup // Done is called when the job is done, if not nil
}

// frameBytes is the most content that the Writer puts into a frame. A buffer of this size and one for the compressed content fit
// in the second-level cache.
const frameBytes = 256 << 10

// cut splits runs into parts of at most frameBytes bytes and MaxRuns runs. It never splits a page.
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

// packer is a worker of a Writer, with its buffers.
type packer struct {
	w    *Writer
	raw  []byte
	zstd *compressor
	data []Run
	zero []Run

	other []byte // content of a Like
	same  []Run
}

func newPacker(w *Writer) *packer {
	return &packer{w: w, raw: make([]byte, frameBytes)}
}

func (k *packer) run(j job) {
	if k.w.failed.get() == nil {
		if err := k.pack(j); err != nil {
			k.w.failed.set(advise(fmt.Errorf("image %q: %w", k.w.Path(), err)))
		}
	}
	if j.pending != nil {
		j.pending.Done()
	}
}

// pack reads the content of the job and stores it in at most three frames: one for the zero pages that must be kept, one for the
// pages that another process has, and one for all other pages.
func (k *packer) pack(j job) error {
	total := runBytes(j.runs)
	raw := k.raw[:total]
	if err := j.fill(raw, j.runs); err != nil {
		return err
	}
	if j.cloned {
		return k.packCloned(j, raw)
	}
	raw = k.separateZeroes(raw, j.runs)
	defer k.w.done.Add(total)
	if len(k.zero) > 0 {
		n := runBytes(k.zero)
		f := Frame{Space: j.space, Codec: CodecZero, Raw: uint32(n), CRC: checksum(zeroes[:n]), Runs: k.zero}
		if err := k.w.append(&f, nil); err != nil {
			return err
		}
	}
	raw = k.leaveOutSame(raw, j.like)
	if len(k.same) > 0 {
		f := Frame{Space: j.space, Codec: CodecSame, Raw: uint32(runBytes(k.same)), Runs: k.same, Source: j.like.Space}
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

// separateZeroes moves all pages that are not zero to the front of raw and returns them. It puts their runs into k.data, and the runs of
// zero pages that must be kept into k.zero.
func (k *packer) separateZeroes(raw []byte, runs []Run) []byte {
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
