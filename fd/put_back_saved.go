package fd

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// overwritten is a part of the file that is in saved, from at on.
type overwritten struct{ offset, length, at int64 }

// save saves what the file has in a part, without holes.
func (w *putBack) save(r image.Run) error {
	data, err := dataIn(w.file, r)
	if err != nil {
		return err
	}
	buffer := make([]byte, min(step, r.Length))
	for _, d := range data {
		for at := d.Start; at < d.End(); at += step {
			w.env.Moved()
			now := buffer[:min(step, d.End()-at)]
			if err := readFull(w.file, now, int64(at)); err != nil {
				return err
			}
			if err := w.saveBytes(now, int64(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// saveBytes saves what the file has at an offset. Undo cuts off what is beyond the old end.
func (w *putBack) saveBytes(now []byte, offset int64) error {
	now = now[:min(int64(len(now)), max(w.was.Size-offset, 0))]
	if len(now) == 0 {
		return nil
	}
	if w.saved == nil {
		var err error
		if w.saved, err = nameless(filepath.Dir(w.copy.record.File.Path)); err != nil {
			return err
		}
		w.env.closeLater = append(w.env.closeLater, w.saved)
	}
	at := int64(0)
	if n := len(w.parts); n > 0 {
		at = w.parts[n-1].at + w.parts[n-1].length
	}
	if _, err := w.saved.WriteAt(now, at); err != nil {
		return fmt.Errorf("what it has now cannot be saved: %w", err)
	}
	w.parts = append(w.parts, overwritten{offset, int64(len(now)), at})
	return nil
}

// undo gives the file back what it had. It can do nothing about errors: the restart has failed already.
func (w *putBack) undo(was *Attributes) {
	f := w.file
	f.Truncate(w.was.Size) // gives room back, or makes the file as long again as it was
	buffer := make([]byte, step)
	for _, p := range slices.Backward(w.parts) {
		for done := int64(0); done < p.length; {
			part := buffer[:min(step, p.length-done)]
			if _, err := w.saved.ReadAt(part, p.at+done); err != nil {
				break
			}
			f.WriteAt(part, p.offset+done)
			done += int64(len(part))
		}
	}
	old := image.File{Path: w.copy.record.File.Path, Mode: w.was.Mode, MtimeNs: w.was.Mtim.Nano()}
	w.env.restoreAttributes(f, old, was)
}

// nameless makes a file without a name in a directory, or else in the directory for temporary files.
func nameless(dir string) (*os.File, error) {
	for _, dir := range []string{dir, os.TempDir()} {
		if f, err := openPath(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600); err == nil {
			return f, nil
		}
	}
	f, err := os.CreateTemp("", "crak.")
	if err == nil {
		err = os.Remove(f.Name())
	}
	return f, err
}

// readFull reads a part of a file. What is beyond its end reads as zeroes.
func readFull(f *os.File, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	if err == io.EOF {
		clear(b[n:])
		return nil
	}
	return err
}

// dataIn returns the parts of r in which a file has no hole.
func dataIn(f *os.File, r image.Run) ([]image.Run, error) {
	if r.End() > math.MaxInt64 {
		return nil, unix.EFBIG
	}
	var all []image.Run
	for at := int64(r.Start); at < int64(r.End()); {
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return nil, os.NewSyscallError("lseek", err)
		}
		end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return nil, os.NewSyscallError("lseek", err)
		}
		start, end = max(start, int64(r.Start)), min(end, int64(r.End()))
		if start >= end {
			break
		}
		all = append(all, image.Run{Start: uint64(start), Length: uint64(end - start)})
		at = end
	}
	return all, nil
}

const step = 1 << 20
