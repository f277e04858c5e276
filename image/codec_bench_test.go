package image

import (
	"bytes"
	"testing"
)

// benchContents has one frame of each kind of memory.
var benchContents = []struct {
	name string
	fill func(frame []byte)
}{
	{"random", func(b []byte) {
		fillRandom(b, 0)
	}},
	{"pointers", func(b []byte) {
		for at := 0; at < len(b); at += 8 {
			fillRandom(b[at:at+8], uint64(at))
			copy(b[at+3:], []byte{0x7f, 0x55, 0x55, 0, 0})
		}
	}},
	{"doubles", func(b []byte) {
		for at := 0; at < len(b); at += 8 {
			fillRandom(b[at:at+8], uint64(at))
			b[at+7] = 0x3f
		}
	}},
	{"text", func(b []byte) {
		copy(b, bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog; "), len(b)/45+1))
	}},
}

func BenchmarkCompress(b *testing.B) {
	for _, c := range benchContents {
		b.Run(c.name, func(b *testing.B) {
			frame := make([]byte, frameBytes)
			c.fill(frame)
			z := newCompressor()
			b.SetBytes(frameBytes)
			var n int
			for b.Loop() {
				out, _ := z.compress(frame)
				n = len(out)
			}
			b.ReportMetric(float64(n)/frameBytes, "ratio")
		})
	}
}

func BenchmarkDecompress(b *testing.B) {
	for _, c := range benchContents {
		frame := make([]byte, frameBytes)
		c.fill(frame)
		out, ok := newCompressor().compress(frame)
		if !ok {
			continue
		}
		b.Run(c.name, func(b *testing.B) {
			z := newDecompressor()
			b.SetBytes(frameBytes)
			for b.Loop() {
				if _, err := z.decompress(out, frameBytes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkChecksum(b *testing.B) {
	frame := make([]byte, frameBytes)
	b.SetBytes(frameBytes)
	for b.Loop() {
		checksum(frame)
	}
}

func BenchmarkSeparateZeroes(b *testing.B) {
	frame := bytes.Repeat([]byte{1}, frameBytes)
	k := packer{}
	b.SetBytes(frameBytes)
	for b.Loop() {
		k.separateZeroes(frame, []Run{{Length: frameBytes}})
	}
}
