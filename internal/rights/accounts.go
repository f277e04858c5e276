package rights

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// Accounts is the directory of the files passwd(5) and group(5). Users that only a server knows (LDAP) are none that
// it knows: for them the answers are the cautious ones.
type Accounts string

// System is where a system has them.
const System Accounts = "/etc"

// IsAlone tells whether nobody but a user and root is in a group: many systems give each user a group of their own,
// and a umask that lets it write.
func (a Accounts) IsAlone(uid, gid uint32) bool {
	ours := make(map[string]bool) // names
	alone, found, known := true, false, false
	a.each("passwd", func(fields []string) {
		ours[fields[0]] = ours[fields[0]] || is(fields[2], uid) || is(fields[2], 0)
		found = found || is(fields[2], uid)
		alone = alone && (!is(fields[3], gid) || is(fields[2], uid) || is(fields[2], 0))
	})
	a.each("group", func(fields []string) {
		if !is(fields[2], gid) {
			return
		}
		known = true
		for _, member := range strings.Split(fields[3], ",") {
			alone = alone && (member == "" || ours[member])
		}
	})
	return found && known && alone
}

// groups are a user's primary group, or otherwise if there is no such user, and all groups that name the user.
func (a Accounts) groups(uid, otherwise uint32) (gid uint32, all []uint32) {
	name, gid := "", otherwise
	a.each("passwd", func(fields []string) {
		if n, err := strconv.ParseUint(fields[3], 10, 32); err == nil && name == "" && is(fields[2], uid) {
			name, gid = fields[0], uint32(n)
		}
	})
	if name == "" {
		return gid, nil
	}
	all = []uint32{gid}
	a.each("group", func(fields []string) {
		n, err := strconv.ParseUint(fields[2], 10, 32)
		for _, member := range strings.Split(fields[3], ",") {
			if err == nil && member == name && uint32(n) != gid {
				all = append(all, uint32(n))
			}
		}
	})
	return gid, all
}

// each calls fn for the lines of a file, of which at least the first four fields are there.
func (a Accounts) each(file string, fn func(fields []string)) {
	f, err := os.Open(string(a) + "/" + file)
	if err != nil {
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20) // a group may have many members
	for lines.Scan() {
		if fields := strings.Split(lines.Text(), ":"); len(fields) >= 4 {
			fn(fields)
		}
	}
}

func is(digits string, id uint32) bool {
	n, err := strconv.ParseUint(digits, 10, 32)
	return err == nil && uint32(n) == id
}
