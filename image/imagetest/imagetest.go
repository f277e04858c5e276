// Package imagetest makes images with arbitrary files and correct sums, for tests. It writes the manifest as FORMAT.md describes
// it, with code of its own.
package imagetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"crak.dev/crak/image"
)

// Write writes an image of format 1, or of the newest format, to a directory. It replaces an image that is there. group is the
// group.json of format 1, which has the processes.
func Write(dir string, m image.Manifest, group, index, pages []byte) error {
	m.Crak, m.Checksum, m.Created = image.Version, "", time.Unix(1e9, 0).UTC()
	files := map[string][]byte{"pages.idx": index, "pages.bin": pages}
	names := []string{"group.json", "pages.idx", "pages.bin"}
	if m.Format == 1 {
		files["group.json"] = group
	} else {
		m.Format = image.Format
		files["group.json"], files["processes.json"] = apart(group)
		names = slices.Insert(names, 1, "processes.json")
	}
	m.Files = nil
	for _, name := range names {
		f := image.FileSum{Name: name, Size: int64(len(files[name])), SHA256: sum(files[name])}
		if name == "pages.bin" {
			f.SHA256 = ""
		}
		m.Files = append(m.Files, f)
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	manifest = append(manifest, '\n')
	manifest = bytes.Replace(manifest, []byte(`"checksum": ""`), []byte(`"checksum": "`+sum(manifest)+`"`), 1)
	files["manifest.json"] = manifest
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// apart takes the processes out of a group.json. A text that is no JSON stays whole.
func apart(text []byte) (group, processes []byte) {
	fields := make(map[string]json.RawMessage)
	var all []json.RawMessage
	if json.Unmarshal(text, &fields) != nil || json.Unmarshal(fields["processes"], &all) != nil {
		return text, nil
	}
	delete(fields, "processes")
	group, err := json.Marshal(fields)
	if err != nil {
		return text, nil
	}
	for _, p := range all {
		processes = append(append(processes, p...), '\n')
	}
	return group, processes
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
