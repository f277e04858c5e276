package fd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/cause"
)

// A Change says how a file differs from what it was at the checkpoint.
type Change string

const (
	Same     Change = "same"     // same inode, size and time of modification
	Copied   Change = "copied"   // another inode, same size and time of modification (in ns), as after a copy; not of another user
	Touched  Change = "touched"  // same size, modified since
	Unseen   Change = "unseen"   // seems to be the same, but the program may have written to it through a mapping
	Grown    Change = "grown"    // longer than it was
	Shrunk   Change = "shrunk"   // shorter than it was
	Replaced Change = "replaced" // another file is at the path
	Gone     Change = "gone"     // nothing is at the path, or stat(2) fails
)

// A Comparison compares a file of an image with the file that is at its path now.
type Comparison struct {
	Change Change
	Want   image.File
	Have   image.File // zero for Gone
	Err    error      // why the file cannot be found; only for Gone
}

// CompareFile compares a file of an image with what is at its path now. It does not compare device numbers: they can
// change from one boot, or one mount, to the next.
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
		UID:     st.Uid,
		Size:    st.Size,
		MtimeNs: st.Mtim.Nano(),
	}}
	sameFormat := want.Mode&unix.S_IFMT == st.Mode&unix.S_IFMT
	sameContent := c.Have.Size == want.Size && c.Have.MtimeNs == want.MtimeNs
	sameInode := st.Ino == want.Inode || want.Relocated
	switch {
	case !sameFormat || !sameInode && (!sameContent || c.isOfAnotherUser()):
		c.Change = Replaced
	case !sameInode:
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

// isOfAnotherUser tells whether the file belongs to a user who is neither the owner of the file of the checkpoint, nor crak's user, nor root. This
// user may have made it in a directory like /tmp, and can give it any size and time. In a user namespace that does not map root, root's
// files seem to belong to the same user as the directory /.
func (c Comparison) isOfAnotherUser() bool {
	var top unix.Stat_t
	switch err := unix.Stat("/", &top); c.Have.UID {
	case c.Want.UID, uint32(os.Geteuid()), 0:
		return false
	default:
		return err != nil || c.Have.UID != top.Uid
	}
}

// String is in words, without the path: "has shrunk from 10 to 5 bytes since the checkpoint".
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
