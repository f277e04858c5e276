package fd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

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
		if l.Mode == "BREAKING" {
			return obstacle.Obstacle{
				What:   "lease on " + o.link,
				Why:    "a process waits for its end, and the program has not given it up yet",
				Do:     "give it up before the checkpoint: fcntl(2), F_SETLEASE",
				Passes: true,
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

// lock takes the locks of F_OFD_SETLK. The restored process takes the others: they belong to it, or name it, or the kernel tells it the
// number under which it took them. For these lock only checks that no other process stands in the way.
func lock(f *os.File, locks []image.Lock) error {
	for _, l := range locks {
		if err := lockOne(int(f.Fd()), l); err != nil {
			return inTheWay(f, l, err)
		}
	}
	return nil
}

var lockNames = map[string]string{"POSIX": "a POSIX lock", "FLOCK": "a lock of flock(2)", "OFDLCK": "an open file description lock", "LEASE": "a lease"}

// inTheWay is the obstacle for a lock that cannot be taken.
func inTheWay(f *os.File, l image.Lock, err error) error {
	name := lockNames[l.Type]
	if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%s on %s: %w", name, f.Name(), err)
	}
	why := "another process has it locked, or has it open"
	if pids := lockers(f); len(pids) > 0 {
		why = strings.Join(pids, ", ") + choose(len(pids) == 1, " has it locked", " have it locked")
	}
	return obstacle.Obstacle{What: f.Name(), Why: why + ", so the program cannot have its own lock (" + name + ")",
		Do: "end that process, or wait for the end of its lock"}
}

// lockers lists the processes that have a lock on a file (proc_locks(5)). The kernel tells no process of an open file description lock.
func lockers(f *os.File) (all []string) {
	var st unix.Stat_t
	text, err := proc.ReadFile("/proc/locks")
	if err != nil || unix.Fstat(int(f.Fd()), &st) != nil {
		return nil
	}
	locks, err := proc.Locks(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	for _, l := range locks {
		if l.Inode != st.Ino || l.Major != unix.Major(st.Dev) || l.Minor != unix.Minor(st.Dev) || l.Blocked || l.Pid <= 0 || l.Pid == os.Getpid() {
			continue
		}
		if name := processName(l.Pid); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

func lockOne(fd int, l image.Lock) error {
	read, write := unix.LOCK_SH, unix.LOCK_EX
	switch l.Type {
	case "POSIX":
		spec := Flock(l)
		if err := unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &spec); err != nil || spec.Type == unix.F_UNLCK {
			return err
		}
		return unix.EAGAIN
	case "FLOCK":
		if err := unix.Flock(fd, choose(l.Write, write, read)|unix.LOCK_NB); err != nil {
			return err
		}
		return unix.Flock(fd, unix.LOCK_UN)
	case "OFDLCK":
		spec := Flock(l)
		return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &spec)
	case "LEASE":
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, LeaseType(l)); err != nil {
			return err
		}
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
		return err
	}
	return fmt.Errorf("not known")
}

// LeaseType is the argument of fcntl(2), F_SETLEASE.
func LeaseType(l image.Lock) int { return choose(l.Write, unix.F_WRLCK, unix.F_RDLCK) }

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
