package fd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// putBackLater has Commit put the content of a copy back into a file, and what belongs to it: size, mode, owner, extended attributes
// and times. f is a description of the file that the restart has made; it stays open until Commit.
//
// The file keeps its inode, because it may have other names, and other programs may have it open. So crak writes into the file
// itself: only what differs. It first saves what it overwrites. If the restart fails afterwards, Abandon writes that back.
func (e *Env) putBackLater(c *savedCopy, f *os.File) error {
	if c.begun {
		return nil
	}
	to, err := writable(f)
	if err != nil {
		return err
	}
	c.begun = true
	e.closeLater = append(e.closeLater, to)
	e.late = append(e.late, func() error {
		w := &putBack{env: e, file: to, copy: c}
		if err := w.run(); err != nil {
			return fmt.Errorf("%s: put back: %w", c.record.File.Path, err)
		}
		return nil
	})
	return nil
}

// fillCopy fills a file that crak restart has made in the place of one that is gone.
func (e *Env) fillCopy(c *savedCopy, f *os.File) error {
	c.begun = true
	w := &putBack{env: e, file: f, copy: c}
	return w.run()
}

// writable returns a descriptor of a file that is open for reading and writing, at any offset. If the description is suitable, it is
// another descriptor of that: a second description would prevent a lease of the program (F_SETLEASE).
func writable(f *os.File) (*os.File, error) {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return nil, &os.PathError{Op: "F_GETFL", Path: f.Name(), Err: err}
	}
	if flags&(unix.O_ACCMODE|unix.O_APPEND|unix.O_DIRECT|unix.O_PATH) == unix.O_RDWR {
		return duplicate(f)
	}
	return reopenOurs(f, unix.O_RDWR)
}

// A putBack changes one file.
type putBack struct {
	env   *Env
	file  *os.File
	copy  *savedCopy
	was   unix.Stat_t
	saved *os.File // has no name; what was overwritten
	parts []overwritten
	room  []byte
}

// overwritten is a part of the file that is in saved, from at on.
type overwritten struct{ offset, length, at int64 }

func (w *putBack) run() error {
	if err := unix.Fstat(int(w.file.Fd()), &w.was); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	attributes, err := fileAttributes(w.link(), w.file.Name(), &w.was)
	if err != nil {
		return err
	}
	w.env.undo.add(func() { w.undo(attributes) })
	want := w.copy.record.File
	if w.was.Size > want.Size {
		if err := w.save(image.Run{Start: uint64(want.Size), Length: uint64(w.was.Size - want.Size)}); err != nil {
			return err
		}
	}
	if w.was.Size != want.Size {
		if err := w.file.Truncate(want.Size); err != nil {
			return err
		}
	}
	var have []image.Run
	err = w.env.Fill(w.copy.id, func(runs []image.Run, data []byte) error {
		w.env.Moved()
		have = append(have, runs...)
		for _, r := range runs {
			if err := w.write(r, data[:r.Length]); err != nil {
				return err
			}
			data = data[r.Length:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range uncovered(have, want.Size) {
		if err := w.empty(r); err != nil {
			return err
		}
	}
	return w.env.restoreAttributes(w.file, want, w.copy.record.Attributes)
}

func (w *putBack) link() string { return "/proc/self/fd/" + strconv.Itoa(int(w.file.Fd())) }

// write writes a part of the content, if the file has something else there.
func (w *putBack) write(r image.Run, data []byte) error {
	if uint64(len(w.room)) < r.Length {
		w.room = make([]byte, r.Length)
	}
	now := w.room[:r.Length]
	if err := readFull(w.file, now, int64(r.Start)); err != nil {
		return err
	}
	if bytes.Equal(now, data) {
		return nil
	}
	if err := w.saveBytes(now, int64(r.Start)); err != nil {
		return err
	}
	_, err := w.file.WriteAt(data, int64(r.Start))
	return err
}

// empty puts zeroes into a part of the file, as a hole if the file system can make one.
func (w *putBack) empty(r image.Run) error {
	data, err := dataIn(w.file, r)
	if err != nil || len(data) == 0 {
		return err
	}
	for _, d := range data {
		if err := w.save(d); err != nil {
			return err
		}
		err := unix.Fallocate(int(w.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(d.Start), int64(d.Length))
		for at := d.Start; errors.Is(err, unix.EOPNOTSUPP) && at < d.End(); at += step {
			if _, err := w.file.WriteAt(make([]byte, min(step, d.End()-at)), int64(at)); err != nil {
				return err
			}
			err = nil
		}
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return os.NewSyscallError("fallocate", err)
		}
	}
	return nil
}

const step = 1 << 20

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

// restoreAttributes gives a file with a name the mode, owner, extended attributes and times that it had. It tells of those that
// crak restart may not set.
func (e *Env) restoreAttributes(f *os.File, was image.File, a *Attributes) error {
	link := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	now, err := fileAttributes(link, was.Path, &st)
	if err != nil {
		return err
	}
	if st.Uid != a.UID || st.Gid != a.GID {
		if err := unix.Chown(link, int(a.UID), int(a.GID)); err != nil {
			e.Tell(fmt.Sprintf("%s: belonged to user %d, group %d, and now to user %d, group %d: %v", was.Path, a.UID, a.GID, st.Uid, st.Gid, err))
		}
	}
	for _, x := range a.Extended {
		same := func(y ExtendedAttribute) bool { return x.Name == y.Name && bytes.Equal(x.Value, y.Value) }
		if slices.ContainsFunc(now.Extended, same) {
			continue
		}
		if err := unix.Setxattr(link, x.Name, x.Value, 0); err != nil {
			e.Tell(fmt.Sprintf("%s: the extended attribute %q cannot be put back: %v", was.Path, x.Name, err))
		}
	}
	for _, x := range now.Extended {
		had := func(y ExtendedAttribute) bool { return x.Name == y.Name }
		if strings.HasPrefix(x.Name, "user.") && !slices.ContainsFunc(a.Extended, had) {
			unix.Removexattr(link, x.Name)
		}
	}
	if unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&0o7777 != was.Mode&0o7777 {
		if err := setMode(f, was.Mode, a.owner()); err != nil {
			e.Tell(fmt.Sprintf("%s: its mode was %#o, and is %#o: %v", was.Path, was.Mode&0o7777, st.Mode&0o7777, err))
		}
	}
	times := []unix.Timespec{unix.NsecToTimespec(a.AccessedNs), unix.NsecToTimespec(was.MtimeNs)}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, link, times, 0); err != nil {
		e.Tell(fmt.Sprintf("%s: its times cannot be put back: %v", was.Path, err))
	}
	return nil
}
