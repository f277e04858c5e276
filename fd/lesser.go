package fd

import (
	"fmt"
	"os"

	"crak.dev/crak/image"
)

// A lesser is a process that has fewer rights than crak, which opens files for it: a process of another user, restarted by root. If the
// file of the checkpoint is still at its path, the process gets it, because the process had it open. If another file is there, crak
// checks whether the process could have opened it. Otherwise a user could link root's file to this path, in a directory that the user
// may change.
type lesser struct {
	exists bool
	user   uint32
	others bool // there are such processes of several users; user is one of them
}

func lesserOf(p *image.Process) lesser {
	if len(p.Threads) == 0 {
		return lesser{}
	}
	user := p.Threads[0].Credentials.UID[1]
	return lesser{exists: user != uint32(os.Geteuid()), user: user}
}

func (l lesser) and(other lesser) lesser {
	switch {
	case !l.exists:
		return other
	case !other.exists:
		return l
	}
	return lesser{exists: true, user: l.user, others: l.others || other.others || l.user != other.user}
}

// gains tells whether the process would get a file that is not that of the checkpoint, and that it could not open itself.
func (l lesser) gains(c Comparison, writes bool) bool {
	if !l.exists || c.Change == Gone || c.Have.Inode == c.Want.Inode || c.Want.Relocated {
		return false
	}
	if c.owner == l.user && !l.others {
		return false
	}
	needed := uint32(0o004)
	if writes {
		needed |= 0o002
	}
	return c.Have.Mode&needed != needed
}

func (l lesser) name() string {
	if l.others {
		return fmt.Sprintf("user %d and other users", l.user)
	}
	return fmt.Sprintf("user %d", l.user)
}
