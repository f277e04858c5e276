package fd

import (
	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// Most members of a large group share descriptions with others. Each member may have POSIX locks on the file of a description, which
// only its own fdinfo shows. But most files have no lock, and fcntl(2) with F_GETLK tells that once for all members.

// What is known about POSIX locks on the file of a description.
const (
	lockNotAsked = iota
	lockNone
	lockPossible
)

// locksOf reads the POSIX locks that a member has taken through a description of another member.
func (v *view) locksOf(s *slot, name string) error {
	if v.Calls != nil {
		if free, err := v.isFree(s); err != nil || free {
			return err
		}
		if !v.seen.locks.maybe(s.of.stat.Ino) {
			return nil
		}
	}
	info, err := v.fdinfo(name)
	s.addLocks(info.Locks)
	return err
}

// isFree tells whether no process has a POSIX lock on the file of a description. Other members may be asked about the same description
// at the same time.
//
// Preconditions: all members are frozen.
func (v *view) isFree(s *slot) (bool, error) {
	if known := s.of.lockState.Load(); known != lockNotAsked {
		return known == lockNone, nil
	}
	free, err := v.askLock(s)
	if err != nil {
		return false, err
	}
	s.of.lockState.Store(int32(choose(free, lockNone, lockPossible)))
	return free, nil
}

// askLock asks for a lock that is in the way of a lock of the whole file. The writer has no locks itself.
func (v *view) askLock(s *slot) (free bool, err error) {
	if takes, err := v.takes(); err != nil || !takes || !s.of.locksInKernel() {
		return false, err
	}
	h, err := v.taker.take(s.fd)
	if err != nil {
		return false, err
	}
	defer h.Close()
	st, err := h.Stat()
	if err != nil || !h.asks() || st.Dev != s.of.stat.Dev || st.Ino != s.of.stat.Ino {
		return false, nil
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err = unix.FcntlFlock(uintptr(h.fd), unix.F_GETLK, &lock)
	return err == nil && lock.Type == unix.F_UNLCK, nil
}

// locksInKernel tells whether the kernel itself keeps the locks of a file. Network file systems and FUSE ask a server, which could be a
// frozen member.
func (o *open) locksInKernel() bool {
	if o.flags&unix.O_PATH != 0 {
		return false
	}
	switch o.format() {
	case unix.S_IFREG, unix.S_IFDIR:
		return lockingFilesystems[o.filesystem]
	}
	return true
}

var lockingFilesystems = map[int64]bool{
	unix.EXT4_SUPER_MAGIC:      true,
	unix.XFS_SUPER_MAGIC:       true,
	unix.BTRFS_SUPER_MAGIC:     true,
	unix.TMPFS_MAGIC:           true,
	unix.RAMFS_MAGIC:           true,
	unix.OVERLAYFS_SUPER_MAGIC: true,
}

func (s *slot) addLocks(all []proc.FileLock) {
	for _, l := range all {
		if isPosix(l) {
			s.posix = append(s.posix, l)
		}
	}
}

func isPosix(l proc.FileLock) bool { return l.Type == "POSIX" }
