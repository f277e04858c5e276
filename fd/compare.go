package fd

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/cause"
)

// A Change is what has become of a file since the checkpoint.
type Change string

const (
	Same     Change = "same"     // inode, size and time of modification are what they were
	Copied   Change = "copied"   // another inode, but size and time of modification (in ns) are the same: moved between disks, restored from a backup
	Touched  Change = "touched"  // as long as it was, modified since
	Unseen   Change = "unseen"   // as it was for all that shows, but the program could write to it through a mapping
	Grown    Change = "grown"    // longer than it was
	Shrunk   Change = "shrunk"   // shorter than it was
	Replaced Change = "replaced" // another file is at the path
	Gone     Change = "gone"     // nothing is at the path, or it cannot be looked at
)

// A Comparison is a file of an image held against the one at its path.
type Comparison struct {
	Change Change
	Want   image.File
	Have   image.File // zero where it is gone
	Err    error      // why it cannot be looked at; of Gone alone
}

// CompareFile finds out what has become of a file. Device numbers are not compared: they may change from
// one boot, or mount, to the next.
func CompareFile(want image.File) Comparison {
	f, st, err := find(want.Path)
	if err != nil {
		return Comparison{Change: Gone, Want: want, Err: err}
	}
	f.Close()
	return compare(want, st)
}

func compare(want image.File, st *unix.Stat_t) Comparison {
	c := Comparison{Want: want, Have: image.File{
		Path:    want.Path,
		Device:  st.Dev,
		Inode:   st.Ino,
		Mode:    st.Mode,
		Size:    st.Size,
		MtimeNs: st.Mtim.Nano(),
	}}
	sameFormat := want.Mode&unix.S_IFMT == st.Mode&unix.S_IFMT
	sameContent := c.Have.Size == want.Size && c.Have.MtimeNs == want.MtimeNs
	switch {
	case !sameFormat || st.Ino != want.Inode && !sameContent:
		c.Change = Replaced
	case st.Ino != want.Inode:
		c.Change = Copied
	case sameContent:
		c.Change = Same
	case st.Size > want.Size:
		c.Change = Grown
	case st.Size < want.Size:
		c.Change = Shrunk
	default:
		c.Change = Touched
	}
	return c
}

// String says it in words, without the path: "has shrunk from 10 to 5 bytes since the checkpoint".
func (c Comparison) String() string {
	switch c.Change {
	case Same:
		return "is the same as at the checkpoint"
	case Copied:
		return "is a copy of the file of the checkpoint, with the same size and time of modification"
	case Touched:
		return "has been modified since the checkpoint"
	case Unseen:
		return "may have been modified through a shared mapping since the checkpoint, which its time of modification does not show"
	case Grown:
		return fmt.Sprintf("has grown from %d to %d bytes since the checkpoint", c.Want.Size, c.Have.Size)
	case Shrunk:
		return fmt.Sprintf("has shrunk from %d to %d bytes since the checkpoint", c.Want.Size, c.Have.Size)
	case Replaced:
		return "has been replaced by another file since the checkpoint"
	}
	if errors.Is(c.Err, fs.ErrNotExist) {
		return "is gone since the checkpoint"
	}
	return fmt.Sprintf("cannot be looked at: %v", cause.Of(c.Err))
}
