package coord

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/dump"
	"crak.dev/crak/internal/obstacle"
)

// The writer has two descriptors for each member: its lock, and from the freeze on the connection to its resident. It opens all
// other files of a member only while it deals with that member. So RLIMIT_NOFILE bounds the
// size of a group. (The Go runtime raises its soft limit to the hard one.) If the writer has less room, it deals with fewer members at
// the same time.
const (
	perMember = 2  // the lock and the connection
	perWait   = 4  // while the writer waits for a member: a listener, a pidfd, a file of /proc, the connection of another process
	ofWriter  = 20 // the image and its directories, epoll(7), files of the survey
	mostWaits = 64 // how many members the writer deals with at the same time. It waits for most of them most of the time
)

// roomFor plans how many members of a group of n the writer deals with at the same time. The error says that the group is too
// large for the writer's limit.
func (c *checkpoint) roomFor(n int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("getrlimit: %w", err)
	}
	if c.used == 0 {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return err
		}
		c.used = len(open) + ofWriter
	}
	room := int(min(limit.Cur, 1<<30)) - c.used - c.listening - n*perMember
	if room < perWait {
		need := c.used + n*perMember + perWait
		return obstacle.List{{Pid: c.Pid, What: fmt.Sprintf("group of %d processes", n),
			Why: fmt.Sprintf("the checkpoint needs %d descriptors at once, and the limit of crak is %d", need, limit.Cur),
			Do:  "raise the limit: ulimit -Hn"}}
	}
	c.atOnce = min(room/perWait, mostWaits)
	c.room = room
	dump.Room(room)
	return nil
}

// listenAll opens a socket for each member before the freeze, so that the freeze is shorter, if there is room for so many.
func (c *checkpoint) listenAll() error {
	if c.room < len(c.members)+2*mostWaits*perWait {
		return nil
	}
	for _, m := range c.members {
		if err := m.listen(); err != nil {
			return err
		}
	}
	c.listening = len(c.members)
	return nil
}
