package fd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

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
