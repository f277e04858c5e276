// Package imagetest makes images with arbitrary files and correct sums, for tests. It writes the manifest as FORMAT.md describes it,
// with code of its own.
package imagetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"crak.dev/crak/image"
)

// Write writes an image to a directory. It replaces an image that is there.
func Write(dir string, m image.Manifest, group, index, pages []byte) error {
	m.Format, m.Crak, m.Checksum, m.Created = image.Format, image.Version, "", time.Unix(1e9, 0).UTC()
	m.Files = []image.FileSum{
		{Name: "group.json", Size: int64(len(group)), SHA256: sum(group)},
		{Name: "pages.idx", Size: int64(len(index)), SHA256: sum(index)},
		{Name: "pages.bin", Size: int64(len(pages))},
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	manifest = append(manifest, '\n')
	manifest = bytes.Replace(manifest, []byte(`"checksum": ""`), []byte(`"checksum": "`+sum(manifest)+`"`), 1)
	for name, text := range map[string][]byte{"manifest.json": manifest, "group.json": group, "pages.idx": index, "pages.bin": pages} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func sum(text []byte) string {
	s := sha256.Sum256(text)
	return hex.EncodeToString(s[:])
}

// Zeroes returns a pages.idx whose frames have zero content and up to image.MaxRuns of the runs each. The pages.bin for it is
// empty.
func Zeroes(space image.Space, runs []image.Run) []byte {
	le := binary.LittleEndian
	b := append([]byte("CRAKIDX\n"), 1, 0, 0, 0, 0, 0, 0, 0)
	b = le.AppendUint32(le.AppendUint32(b, 1), uint32(len(space)))
	b = append(b, space...)
	b = append(b, make([]byte, -len(space)&7)...)
	frames, raw := uint64(0), uint64(0)
	for len(runs) > 0 {
		n, size := 0, uint64(0)
		for n < min(len(runs), image.MaxRuns) && size+runs[n].Length <= image.MaxFrame {
			size += runs[n].Length
			n++
		}
		b = le.AppendUint32(le.AppendUint32(b, 2), 0)
		b = le.AppendUint64(b, 0)
		b = le.AppendUint32(le.AppendUint32(b, 0), uint32(size))
		b = append(le.AppendUint32(b, 0), byte(image.CodecZero), 0, 0, 0)
		b = le.AppendUint32(le.AppendUint32(b, uint32(n)), 0)
		for _, r := range runs[:n] {
			b = le.AppendUint64(le.AppendUint64(b, r.Start), r.Length)
		}
		runs, frames, raw = runs[n:], frames+1, raw+size
	}
	b = le.AppendUint32(le.AppendUint32(b, 3), 1)
	return le.AppendUint64(le.AppendUint64(le.AppendUint64(b, frames), 0), raw)
}
