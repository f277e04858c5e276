package image

import (
	"bytes"
	"testing"
)

// The fuzz targets look for panics and for memory use out of proportion to the input. They also check that a value decoded without
// an error is the same after it is encoded and decoded again.

func FuzzManifest(f *testing.F) {
	text, err := (&Manifest{
		Format: Format, Crak: Version, Program: "app", Root: 412,
		Host:  Host{Kernel: "6.1", CPUFeatures: []string{"avx"}},
		Files: []FileSum{{Name: groupFile}, {Name: processesFile}, {Name: indexFile}, {Name: pagesFile}},
	}).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format": 99, "crak": "9"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decodeManifest(text)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest(again); err != nil {
			t.Fatalf("decoded once, but not twice: %v\n%s", err, again)
		}
	})
}

func FuzzGroup(f *testing.F) {
	text, err := encodeJSON(goodGroup())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"root":1,"processes":[{"pid":1,"threads":[{}],"mappings":[{"start":"0x0"}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := decodeGroup(text)
		if err != nil || g.Check() != nil {
			return
		}
		again, err := encodeJSON(g)
		if err != nil {
			t.Fatal(err)
		}
		g, err = decodeGroup(again)
		if err == nil {
			err = g.Check()
		}
		if err != nil {
			t.Fatalf("decoded once, but not twice: %v\n%s", err, again)
		}
	})
}

func FuzzIndex(f *testing.F) {
	var b bytes.Buffer
	x := newIndexWriter(&b)
	x.frame(&Frame{Space: ProcessSpace(412), Stored: 4096, Raw: 4096, Runs: []Run{{Start: 0x500000, Length: 4096}}})
	x.frame(&Frame{Space: MemorySpace(3), Codec: CodecZero, Raw: 8192, Runs: []Run{{Start: 0, Length: 8192}}})
	x.end()
	f.Add(b.Bytes(), int64(4096))
	g := goodGroup()
	f.Fuzz(func(t *testing.T, text []byte, size int64) {
		s, err := scanIndex(bytes.NewReader(text), size, g)
		if err != nil {
			return
		}
		if most := uint64(len(text) / frameRecord); s.totals.Frames > most {
			t.Fatalf("%d frames in %d bytes", s.totals.Frames, len(text))
		}
	})
}

func FuzzFrame(f *testing.F) {
	page := bytes.Repeat([]byte("crak"), 1024)
	packed, _ := newCompressor().compress(page)
	f.Add(packed, byte(CodecZstd), uint32(len(page)), checksum(page))
	f.Add(page, byte(CodecNone), uint32(len(page)), checksum(page))
	f.Add([]byte{}, byte(CodecZero), uint32(len(page)), uint32(0))
	f.Add([]byte{}, byte(CodecSame), uint32(len(page)), uint32(0))
	u := unpacker{}
	f.Fuzz(func(t *testing.T, stored []byte, codec byte, raw, crc uint32) {
		fr := Frame{Codec: Codec(codec), Stored: uint32(len(stored)), Raw: raw, CRC: crc,
			Runs: []Run{{Length: uint64(raw)}}}
		if fr.check(int64(len(stored))) != nil {
			return
		}
		u.pages = bytes.NewReader(stored)
		data, err := u.content(&fr)
		if fr.Codec == CodecSame {
			raw = 0 // the frame has no content of its own
		}
		if err == nil && len(data) != int(raw) {
			t.Fatalf("%d bytes, not %d", len(data), raw)
		}
	})
}

// FuzzCut checks that cut puts every byte of the runs into exactly one frame, in order.
func FuzzCut(f *testing.F) {
	f.Add(uint64(0x1000), uint64(0x100000), uint64(0x500000), uint64(10001))
	f.Fuzz(func(t *testing.T, a, n, b, m uint64) {
		runs := []Run{{Start: a, Length: n % (8 << 20)}, {Start: b, Length: m % (8 << 20), KeepZero: true}}
		var got []Run
		err := cut(runs, func(part []Run) error {
			if size := runBytes(part); size == 0 || size > frameBytes || len(part) > MaxRuns {
				t.Errorf("part of %d bytes, %d runs", size, len(part))
			}
			got = append(got, part...)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if runBytes(got) != runBytes(runs) {
			t.Errorf("%d bytes of %d", runBytes(got), runBytes(runs))
		}
		for i, r := range got {
			if i > 0 && got[i-1].KeepZero == r.KeepZero && got[i-1].End() != r.Start {
				t.Errorf("%v follows %v", r, got[i-1])
			}
		}
	})
}
