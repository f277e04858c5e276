package fd

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// A stretch is the part of a file that a shared, writable mapping maps. sum is that of the checkpoint, or empty if
// none was taken.
type stretch struct {
	offset, length int64
	sum            string
}

func stretchOf(m *image.Mapping) stretch {
	offset := int64(m.Offset)
	return stretch{offset, min(int64(m.End-m.Start), max(m.File.Size-offset, 0)), m.Sum}
}

// content compares the content of a file that seems to be unchanged. A write through a shared mapping does not always
// change the time of modification. The result is remembered, so each file is read once.
func (e *Env) content(c Comparison) Comparison {
	inode := inodeOf(c.Want)
	stretches := e.stretches[inode]
	if len(stretches) == 0 || c.Change != Same && c.Change != Copied {
		return c
	}
	change, known := e.contents[inode]
	if !known {
		change = compareStretches(c.Want, stretches)
		e.contents[inode] = change
	}
	if change != Same {
		c.Change = change
	}
	return c
}

// compareStretches compares a file with the sums of its stretches.
func compareStretches(want image.File, stretches []stretch) Change {
	left := int64(image.SummedMost)
	for _, s := range stretches {
		if left -= s.length; s.sum == "" || left < 0 {
			return Unseen
		}
	}
	f, err := openAt(want.Path, unix.O_RDONLY, func(st *unix.Stat_t) error {
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			return fmt.Errorf("%s: not a regular file", want.Path)
		}
		return nil
	})
	if err != nil {
		return Unseen
	}
	defer f.Close()
	for _, s := range stretches {
		sum := sha256.New()
		if _, err := io.Copy(sum, io.NewSectionReader(f, s.offset, s.length)); err != nil {
			return Unseen
		}
		if hex.EncodeToString(sum.Sum(nil)) != s.sum {
			return Touched
		}
	}
	return Same
}
