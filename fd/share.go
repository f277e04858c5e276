package fd

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
)

// shared are the descriptors of one open file description, in ascending order.
type shared []*open

func (s shared) first() *open { return s[0] }

// share finds the descriptors that are dups of each other. The result is ordered by their lowest number. If the
// process is not frozen, every descriptor stands alone. share closes the handles of all but the first descriptor of
// each description.
func (d *Descriptors) share() ([]shared, error) {
	var groups []shared
	for _, alike := range d.lookAlikes() {
		found, err := d.dups(alike)
		if err != nil {
			return nil, err
		}
		groups = append(groups, found...)
	}
	slices.SortFunc(groups, func(a, b shared) int { return cmp.Compare(a.first().fd, b.first().fd) })
	for _, g := range groups {
		closeHandles(g[1:])
	}
	return groups, nil
}

// lookAlikes groups descriptors that agree in everything in which dups must agree.
func (d *Descriptors) lookAlikes() [][]*open {
	type looks struct {
		inode Inode
		flags uint32
		pos   int64
		link  string
		alone int // its number, if the process is not frozen or /dev/null takes its place
	}
	at := make(map[looks]int)
	var sets [][]*open
	for _, o := range d.all {
		if o.override == LeaveOut {
			continue
		}
		key := looks{inode: o.inode(), flags: o.flags, pos: o.pos, link: o.link}
		if d.member.Calls == nil || o.override == DevNull {
			key.alone = o.fd
		}
		i, known := at[key]
		if !known {
			i = len(sets)
			at[key] = i
			sets = append(sets, nil)
		}
		sets[i] = append(sets[i], o)
	}
	return sets
}

// dups divides such a group by description. Sorted in the order of kcmp(2), dups are neighbours.
func (d *Descriptors) dups(alike []*open) ([]shared, error) {
	if len(alike) == 1 {
		return []shared{alike}, nil
	}
	pid := d.member.live()
	refused := false
	order := func(a, b *open) int {
		switch result := kcmp(pid, pid, a.fd, b.fd); {
		case result < 0:
			refused = true
			return 0
		case result == kcmpLess:
			return -1
		default:
			return result
		}
	}
	sorted := slices.Clone(alike)
	slices.SortStableFunc(sorted, order)
	var groups []shared
	for i, o := range sorted {
		if i == 0 || order(sorted[i-1], o) != 0 {
			groups = append(groups, nil)
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], o)
	}
	if refused {
		return d.dupsByQuery(alike)
	}
	for _, g := range groups { // in their former order, unless descriptors change meanwhile
		slices.SortFunc(g, func(a, b *open) int { return cmp.Compare(a.fd, b.fd) })
	}
	return groups, nil
}

// dupsByQuery is used if kcmp is forbidden, for example by a seccomp filter of a container. The initiator compares
// the first descriptor with the others, then the first of the remaining ones, and so on.
func (d *Descriptors) dupsByQuery(rest []*open) (groups []shared, err error) {
	for len(rest) > 0 {
		first := rest[0]
		calls := make([]abi.Call, 0, min(len(rest)-1, abi.CallsMax))
		same := shared{first}
		var others []*open
		for batch := range slices.Chunk(rest[1:], abi.CallsMax) {
			calls = calls[:0]
			for _, o := range batch {
				calls = append(calls, abi.Call{Number: unix.SYS_FCNTL, Args: [6]uint64{uint64(o.fd), fdupFdQuery, uint64(first.fd)}})
			}
			results, err := d.member.Calls(calls, nil)
			if err != nil {
				return nil, err
			}
			for i, o := range batch {
				switch results[i] {
				case 1:
					same = append(same, o)
				case 0:
					others = append(others, o)
				default:
					return nil, fmt.Errorf("fd %d: neither kcmp(2) nor F_DUPFD_QUERY tells what shares its description: %w",
						o.fd, unix.Errno(-results[i]))
				}
			}
		}
		groups = append(groups, same)
		rest = others
	}
	return groups, nil
}

const (
	kcmpFile    = 0    // KCMP_FILE of linux/kcmp.h
	kcmpEqual   = 0    // kcmp(2): the results
	kcmpLess    = 1    //
	fdupFdQuery = 1027 // F_DUPFD_QUERY of linux/fcntl.h, since Linux 6.10: 1 for the same description
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
