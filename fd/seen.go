package fd

import (
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Seen has the open file descriptions that Look has found so far in the members of a group. Thousands of members may
// have inherited the same hundred descriptions. So Look compares each descriptor with the known descriptions by kcmp(2),
// and keeps only its number if the description is known. The zero value is ready. Several members may be looked at concurrently.
type Seen struct {
	mu      sync.Mutex
	inodes  map[Inode][]*open // in the order of kcmp(2)
	numbers map[int]*open     // the last description that was seen under a number
	alone   []*open           // kcmp(2) could not compare these with others
}

// under returns the description of a descriptor if a member seen before has the same description under the same
// number, as it is after fork(2). Otherwise it returns nil.
func (s *Seen) under(m *Member, number int) *open {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.numbers[number]; o != nil && kcmp(o.member.live(), m.live(), o.fd, number) == kcmpEqual {
		return o
	}
	return nil
}

// add returns the known description that o is, or o itself if it is new.
func (s *Seen) add(o *open) *open {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inodes == nil {
		s.inodes, s.numbers = make(map[Inode][]*open), make(map[int]*open)
	}
	alike := s.inodes[o.inode()]
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
		delete(s.inodes, o.inode())
		return o
	case known:
		o = alike[at]
	default:
		s.inodes[o.inode()] = slices.Insert(alike, at, o)
	}
	s.numbers[o.fd] = o
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
