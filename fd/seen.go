package fd

import (
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// Seen has the open file descriptions that Look has found so far in the members of a group. Thousands of members may
// have inherited the same hundred descriptions. So Look compares each descriptor with the known descriptions by kcmp(2),
// and keeps only its number if the description is known. The zero value is ready. Several members may be looked at concurrently.
type Seen struct {
	mu      sync.Mutex
	alike   map[likeness][]*open // in the order of kcmp(2)
	numbers map[int]*open        // the last description that was seen under a number
	last    *open                // the description that was seen last
	alone   []*open              // kcmp(2) could not compare these with others

	locks  sync.Once
	locked map[uint64]bool // numbers of inodes with POSIX locks; nil: not known
}

// mayBeLocked tells whether any process may have a POSIX lock on the file of a description. It reads /proc/locks at the first call: a
// fdinfo for each descriptor of each member would take longer.
//
// Preconditions: all members are frozen.
func (s *Seen) mayBeLocked(o *open) bool {
	s.locks.Do(func() {
		f, err := os.Open("/proc/locks")
		if err != nil {
			return
		}
		defer f.Close()
		if all, err := proc.Locks(f); err == nil {
			s.locked = make(map[uint64]bool)
			for _, l := range all {
				if isPosix(l) {
					s.locked[l.Inode] = true
				}
			}
		}
	})
	return s.locked == nil || s.locked[o.stat.Ino]
}

// under returns the description of a descriptor if it is the one that was seen last, or if a member seen before has it under the same
// number, as it is after fork(2). Otherwise it returns nil.
func (s *Seen) under(m *Member, number int) *open {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range []*open{s.numbers[number], s.last} { // a program that copies a descriptor often does it several times
		if o != nil && kcmp(o.member.live(), m.live(), o.fd, number) == kcmpEqual {
			return o
		}
	}
	return nil
}

// A likeness is the same for all descriptors of one description. So kcmp(2) need compare only descriptions of the same likeness. All
// eventfds have one inode, but each has an ID.
type likeness struct {
	Inode
	eventfd string
}

// add returns the known description that o is, or o itself if it is new.
func (s *Seen) add(o *open) *open {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alike == nil {
		s.alike, s.numbers = make(map[likeness][]*open), make(map[int]*open)
	}
	key := likeness{o.inode(), o.eventfd}
	alike := s.alike[key]
	refused := false
	at, known := slices.BinarySearchFunc(alike, o, func(a, b *open) int {
		switch result := kcmp(a.member.live(), b.member.live(), a.fd, b.fd); {
		case result < 0:
			refused = true
			return 0
		case result == kcmpLess:
			return -1
		default:
			return result
		}
	})
	switch {
	case refused:
		s.alone = append(append(s.alone, alike...), o)
		delete(s.alike, key)
		return o
	case known:
		o = alike[at]
	default:
		s.alike[key] = slices.Insert(alike, at, o)
	}
	s.numbers[o.fd], s.last = o, o
	return o
}

const (
	kcmpFile  = 0 // KCMP_FILE of linux/kcmp.h
	kcmpEqual = 0 // kcmp(2): the results
	kcmpLess  = 1 //
)

// kcmp compares the descriptions of two descriptors. The result is negative if that is not allowed, or if a process
// or descriptor does not exist.
func kcmp(pid1, pid2, fd1, fd2 int) int {
	result, _, errno := unix.RawSyscall6(unix.SYS_KCMP, uintptr(pid1), uintptr(pid2), kcmpFile, uintptr(fd1), uintptr(fd2), 0)
	if errno != 0 {
		return -int(errno)
	}
	return int(result)
}
