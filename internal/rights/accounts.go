package rights

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// Accounts is the directory of the files passwd(5) and group(5). It does not know users that only a server knows (LDAP): IsAlone is
// false for them, and groups returns no groups.
type Accounts string

// System is the directory in which these files are on every system.
const System Accounts = "/etc"

// IsAlone tells whether nobody but a user and root is in a group. Many systems give each user a group that no other user is in, and
// a umask with which this group can write to the user's files.
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

// groups returns a user's primary group and all groups that list the user. For an unknown user it returns the group otherwise, and no
// list.
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

// each calls fn for each line of a file that has at least four fields.
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
