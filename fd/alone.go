package fd

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/obstacle"
)

// looks is everything in which descriptors of one description must agree.
type looks struct {
	inode Inode
	flags uint32
	pos   int64
	link  string
}

// compareAlone finds out which descriptions are the same where kcmp(2) is forbidden, for example by a seccomp filter
// of a container. Descriptors that differ in their looks have different descriptions. If they are
// in one member, its initiator compares them. Nothing can compare descriptors of two members, so these are refused.
func (c *capture) compareAlone(seen *Seen) error {
	seen.mu.Lock()
	defer seen.mu.Unlock()
	type owned struct {
		looks
		member *Member
	}
	var order []owned
	sets := make(map[owned][]*open)
	first := make(map[looks]*open)
	for _, o := range seen.ordered() {
		if o.override != "" || o.member.Calls == nil {
			continue
		}
		key := owned{looks{inode: o.inode(), flags: o.flags, pos: o.pos, link: o.link}, o.member}
		if sets[key] == nil {
			order = append(order, key)
		}
		sets[key] = append(sets[key], o)
		if other := first[key.looks]; other == nil {
			first[key.looks] = o
		} else if other.member != o.member && !device.is(o) { // it does not matter whether /dev/null has one description or two
			o.refusal = incomparable(o, other)
		}
	}
	for _, key := range order {
		if err := dupsByQuery(key.member, sets[key]); err != nil {
			return fmt.Errorf("pid %d: %w", key.member.Pid, err)
		}
	}
	return nil
}

func incomparable(o, other *open) *obstacle.Obstacle {
	return &obstacle.Obstacle{
		What: o.link,
		Why: fmt.Sprintf("the kernel refuses kcmp(2), so CRAK cannot tell whether this is the open file description of pid %d fd %d, or another one",
			other.member.Pid, other.fd),
		Do: "allow kcmp(2): for docker with --cap-add SYS_PTRACE",
	}
}

// ordered returns the descriptors that kcmp(2) could not compare, sorted by PID and number.
func (s *Seen) ordered() []*open {
	slices.SortFunc(s.alone, func(a, b *open) int {
		if a.member.Pid != b.member.Pid {
			return a.member.Pid - b.member.Pid
		}
		return a.fd - b.fd
	})
	return s.alone
}

// dupsByQuery sets the field same of each description that equals an earlier one. The initiator compares the first descriptor with
// the others, then the first of the remaining ones, and so on.
func dupsByQuery(m *Member, rest []*open) error {
	for len(rest) > 1 {
		first := rest[0]
		calls := make([]abi.Call, 0, min(len(rest)-1, abi.CallsMax))
		var others []*open
		for batch := range slices.Chunk(rest[1:], abi.CallsMax) {
			calls = calls[:0]
			for _, o := range batch {
				calls = append(calls, abi.Call{Number: unix.SYS_FCNTL, Args: [6]uint64{uint64(o.fd), fdupFdQuery, uint64(first.fd)}})
			}
			results, err := m.Calls(calls, nil)
			if err != nil {
				return err
			}
			for i, o := range batch {
				switch results[i] {
				case 1:
					o.same = first
				case 0:
					others = append(others, o)
				default:
					return fmt.Errorf("fd %d: neither kcmp(2) nor F_DUPFD_QUERY tells what shares its description: %w",
						o.fd, unix.Errno(-results[i]))
				}
			}
		}
		rest = others
	}
	return nil
}

const fdupFdQuery = 1027 // F_DUPFD_QUERY of linux/fcntl.h, since Linux 6.10: 1 for the same description
