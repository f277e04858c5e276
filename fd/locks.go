package fd

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// allLocks lists the locks of a description. A POSIX lock belongs to a process and the inode. /proc shows it with the
// process that has it and the description that it was taken through.
func (o *open) allLocks() (all []image.Lock, err error) {
	add := func(l proc.FileLock, pid image.Pid) error {
		if l.Blocked {
			return nil
		}
		switch l.Type {
		case "POSIX", "OFDLCK", "FLOCK", "LEASE":
		default:
			return obstacle.Obstacle{
				What: l.Type + " lock on " + o.link,
				Why:  "locks of this type are not supported",
				Do:   "release it before the checkpoint",
			}
		}
		all = append(all, image.Lock{Type: l.Type, Write: l.Access == "WRITE", Pid: pid, Start: l.Start, End: l.End})
		return nil
	}
	for _, l := range o.locks {
		if err := add(l, 0); err != nil {
			return nil, err
		}
	}
	var last *Descriptors
	for _, h := range o.holders {
		if h.of == last { // a dup in the same member
			continue
		}
		last = h.of
		for _, l := range h.posix {
			if err := add(l, image.Pid(h.of.member.Inside)); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// lock takes the locks that belong to a description. Locks that belong to a process are taken by the restored
// process; lock only checks that no other process holds them.
func lock(f *os.File, locks []image.Lock) error {
	for _, l := range locks {
		if err := lockOne(int(f.Fd()), l); err != nil {
			return fmt.Errorf("%s lock on %s: %w", l.Type, f.Name(), err)
		}
	}
	return nil
}

func lockOne(fd int, l image.Lock) error {
	read, write := unix.LOCK_SH, unix.LOCK_EX
	switch l.Type {
	case "POSIX":
		spec := Flock(l)
		if err := unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &spec); err != nil || spec.Type == unix.F_UNLCK {
			return err
		}
		return fmt.Errorf("held by pid %d", spec.Pid)
	case "FLOCK":
		if err := unix.Flock(fd, choose(l.Write, write, read)|unix.LOCK_NB); err != nil {
			return err
		}
		return unix.Flock(fd, unix.LOCK_UN)
	case "OFDLCK":
		spec := Flock(l)
		return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &spec)
	case "LEASE":
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, choose(l.Write, unix.F_WRLCK, unix.F_RDLCK))
		return err
	}
	return fmt.Errorf("not known")
}

// Flock is the lock for fcntl(2). The process that owns a POSIX lock takes it with F_SETLK. An OFD lock is taken with
// F_OFD_SETLK.
func Flock(l image.Lock) unix.Flock_t {
	spec := unix.Flock_t{
		Type:   int16(choose(l.Write, unix.F_WRLCK, unix.F_RDLCK)),
		Whence: io.SeekStart,
		Start:  l.Start,
	}
	if l.End >= 0 {
		spec.Len = l.End - l.Start + 1
	}
	return spec
}

func choose[T any](yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}
