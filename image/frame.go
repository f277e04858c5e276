package image

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

const (
	// MaxFrame is the most content of a frame, in bytes.
	MaxFrame = 1 << 20
	// MaxRuns is the most runs of a frame: the limit of one process_vm_readv(2) call (IOV_MAX).
	MaxRuns = 1024
)

// A Codec is the encoding of the content of a frame.
type Codec uint8

const (
	CodecNone Codec = 0
	CodecZstd Codec = 1 // one zstd frame (RFC 8878) without dictionary
	CodecZero Codec = 2 // nothing is stored: all zero
	CodecSame Codec = 3 // nothing is stored: the content is that of another process at the same addresses
)

func (c Codec) String() string {
	switch c {
	case CodecNone:
		return "none"
	case CodecZstd:
		return "zstd"
	case CodecZero:
		return "zero"
	case CodecSame:
		return "same"
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// A Frame is one entry of pages.idx: the content of some runs of one space.
type Frame struct {
	Space  Space
	Codec  Codec
	Offset int64  // into pages.bin
	Stored uint32 // bytes in pages.bin
	Raw    uint32 // bytes of content: the length of all runs together
	CRC    uint32 // CRC-32C of the content; 0 for CodecSame
	Runs   []Run
	Source Space // for CodecSame: the process that has the content
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// check checks a frame on its own. size is the size of pages.bin.
func (f *Frame) check(size int64) error {
	if f.Raw == 0 || f.Raw > MaxFrame {
		return fmt.Errorf("%d bytes of content: not 1 to %d", f.Raw, MaxFrame)
	}
	switch f.Codec {
	case CodecNone:
		if f.Stored != f.Raw {
			return fmt.Errorf("%d bytes stored: not the %d of the content", f.Stored, f.Raw)
		}
	case CodecZstd:
		if f.Stored == 0 || f.Stored >= f.Raw {
			return fmt.Errorf("%d bytes stored: not less than the %d of the content", f.Stored, f.Raw)
		}
	case CodecZero:
		if f.Stored != 0 || f.Offset != 0 {
			return errors.New("stored bytes in a frame of zeroes")
		}
	case CodecSame:
		if f.Stored != 0 || f.CRC != 0 {
			return errors.New("stored bytes, or a sum, in a frame whose content is that of another process")
		}
	default:
		return fmt.Errorf("unknown codec %d", uint8(f.Codec))
	}
	if f.Offset < 0 || f.Offset > size || int64(f.Stored) > size-f.Offset {
		return fmt.Errorf("offset %d, %d bytes: beyond the %d bytes of %s", f.Offset, f.Stored, size, pagesFile)
	}
	return f.checkRuns()
}

func (f *Frame) checkRuns() error {
	left := uint64(f.Raw)
	for i, r := range f.Runs {
		if r.Length == 0 || r.Length > left || r.Start > math.MaxInt64-r.Length {
			return fmt.Errorf("run %d: start %#x, length %#x: out of range", i, r.Start, r.Length)
		}
		left -= r.Length
	}
	if left != 0 {
		return fmt.Errorf("runs are %d bytes short of the content", left)
	}
	return nil
}
