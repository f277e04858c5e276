package fd

import (
	"strings"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/retry"
)

// A place is the directory in which the writer has looked for the last file. A program often has many files of one directory open.
// It is faster to look a name up there than to go through the whole path again.
type place struct {
	path string // with the root directory of the member: "/proc/412/root/var/lib"
	fd   int
}

func (p *place) close() {
	if p.path != "" {
		unix.Close(p.fd)
		p.path = ""
	}
}

// where is where of open, for many files.
func (c *capture) where(o *open) (string, whereabouts) {
	return o.whereIf(func(path string) bool {
		slash := strings.LastIndexByte(path, '/')
		name := path[slash+1:]
		if slash < 0 || name == "" || !c.place.enter(o.proc()+"/root"+path[:slash+1]) {
			return false
		}
		var st unix.Stat_t
		return unix.Fstatat(c.place.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Ino == o.stat.Ino && st.Dev == o.stat.Dev
	})
}

// enter opens a directory, if it is not the one that is open.
func (p *place) enter(path string) bool {
	if p.path == path {
		return true
	}
	p.close()
	fd, err := retry.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	p.path, p.fd = path, fd
	return true
}
