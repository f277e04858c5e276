package fd

import (
	"bytes"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/retry"
)

// lockedInodes tells which files may have locks. Only fdinfo tells which description has them, and to read it takes longer than all
// other questions about a description. Most files have no lock.
type lockedInodes struct {
	asked  atomic.Int32
	once   sync.Once
	known  bool // all locks are known
	inodes map[uint64]bool
}

// manyFiles is how many files are enough to read /proc/locks. The kernel then waits for an RCU grace period (locks_start, percpu_down_write),
// some 10 ms. To read fdinfo of a file takes some 10 µs.
const manyFiles = 1000

// maybe tells whether a file may have a lock. It does not find out for the first manyFiles files.
//
// Preconditions: all members of the group are frozen.
func (l *lockedInodes) maybe(inode uint64) bool {
	if l.asked.Add(1) <= manyFiles {
		return true
	}
	l.once.Do(l.look)
	return !l.known || l.inodes[inode]
}

// look reads /proc/locks. In another PID namespace than the first one, this file does not show the lock of flock(2) of a process that
// has ended. (locks_show of the kernel's fs/locks.c, and PROC_PID_INIT_INO.) One read(2) shows all locks of one instant, if they fit
// into the kernel's buffer. The next read may leave out a lock, because other programs of the machine release locks meanwhile.
func (l *lockedInodes) look() {
	const initial = "pid:[4026531836]"
	if own, err := os.Readlink("/proc/self/ns/pid"); err != nil || own != initial {
		return
	}
	fd, err := retry.Open("/proc/locks", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	buffer := make([]byte, os.Getpagesize())
	n, err := unix.Read(fd, buffer)
	if err != nil {
		return
	}
	if more, err := unix.Read(fd, buffer[n:]); err != nil || more != 0 || n == len(buffer) {
		return
	}
	locks, err := proc.Locks(bytes.NewReader(buffer[:n]))
	if err != nil {
		return
	}
	l.inodes = make(map[uint64]bool)
	for _, lock := range locks {
		l.inodes[lock.Inode] = true
	}
	l.known = true
}
