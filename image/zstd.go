package image

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// compressor compresses frames, one at a time.
type compressor struct {
	encoder *zstd.Encoder
	buf     []byte
}

func newCompressor() *compressor {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(frameBytes),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("image: zstd: " + err.Error())
	}
	return &compressor{encoder: e, buf: make([]byte, 0, e.MaxEncodedSize(frameBytes))}
}

// compress returns the compressed data, valid until the next call. It returns false if compression saves less than a twentieth.
func (c *compressor) compress(data []byte) ([]byte, bool) {
	out := c.encoder.EncodeAll(data, c.buf[:0])
	return out, len(out) < len(data)-len(data)/20
}

// decompressor decompresses frames, one at a time.
type decompressor struct {
	decoder *zstd.Decoder
	buf     []byte
}

func newDecompressor() *decompressor {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(MaxFrame),
		zstd.WithDecoderMaxWindow(MaxFrame),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("image: zstd: " + err.Error())
	}
	return &decompressor{decoder: d, buf: make([]byte, 0, MaxFrame)}
}

// decompress returns the content, which must have exactly raw bytes. The result is valid until the next call.
func (d *decompressor) decompress(stored []byte, raw int) ([]byte, error) {
	out, err := d.decoder.DecodeAll(stored, d.buf[:0:raw])
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if len(out) != raw {
		return nil, fmt.Errorf("zstd: %d bytes of content, not %d", len(out), raw)
	}
	return out, nil
}
