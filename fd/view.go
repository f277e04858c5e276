package fd

import (
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/retry"
)

// A view reads the descriptors of a process. The program is frozen meanwhile, so a view makes as few system calls as
// possible: it looks names up relative to open directories.
type view struct {
	*Member
	seen     *Seen
	fd, info int // descriptors of its fd and fdinfo directories; info is -1 until it is needed
	links    int // descriptor of the directory with the links of the handles, /proc/self/fd; fd if there are no handles
	taker    *taker
	self     int // PID of the writer
	own      *ownInfo
	last     *open // the description that was seen last: a program that copies a descriptor often does it several times
	buffer   [4096]byte

	filesystems map[uint64]int64 // types, by device
}

// newView opens the directory with the descriptors of a process.
func newView(m *Member, seen *Seen) (*view, error) {
	v := &view{Member: m, seen: seen, self: os.Getpid(), fd: -1, info: -1, filesystems: make(map[uint64]int64)}
	var err error
	if v.fd, err = openDirectory(m.Proc+"/fd", unix.O_RDONLY); err != nil {
		return nil, err
	}
	v.links = v.fd
	return v, nil
}

// openDirectory opens a directory of /proc. os.Open would try to add it to Go's poller.
func openDirectory(path string, flags int) (fd int, err error) {
	if fd, err = retry.Open(path, flags|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// takes tells whether the view takes handles of descriptors. The first time it opens what that needs: most members of a large group
// have only descriptions that are known from others.
func (v *view) takes() (bool, error) {
	if v.Calls == nil || v.taker != nil {
		return v.taker != nil, nil
	}
	links, err := openDirectory("/proc/self/fd", unix.O_PATH)
	if err != nil {
		return false, err
	}
	v.links, v.taker = links, newTaker(v.Member)
	return true, nil
}

func (v *view) close() {
	if v.taker != nil {
		v.taker.close()
	}
	files := []int{v.fd, v.info}
	if v.links != v.fd {
		files = append(files, v.links)
	}
	if v.own != nil {
		files = append(files, v.own.fd)
	}
	for _, fd := range files {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// isOwn tells whether a descriptor is one of the view itself, when a process looks at itself.
func (v *view) isOwn(number int) bool {
	return v.Proc == "/proc/self" && (slices.Contains([]int{v.fd, v.info, v.links}, number) || v.taker != nil && number == v.taker.pidfd || v.own != nil && number == v.own.fd)
}

// names lists the directory.
func (v *view) names() (names []string, err error) {
	for {
		n, err := unix.Getdents(v.fd, v.buffer[:])
		if err != nil || n == 0 {
			return names, err
		}
		_, _, names = unix.ParseDirent(v.buffer[:n], -1, names)
	}
}

// at reads one descriptor. The result is nil for a descriptor that does not belong to the program.
func (v *view) at(name string) (*slot, error) {
	number, err := strconv.Atoi(name)
	if err != nil {
		return nil, err
	}
	if slices.Contains(v.Except, number) || v.isOwn(number) {
		return nil, nil
	}
	s := &slot{fd: number}
	override := v.Overrides.ofNumber(number)
	if override.keepsSocket() { // (*capture).override applies it to the description
		override = ""
	}
	if override == "" {
		if s.of = v.seen.under(v.Member, number); s.of != nil {
			return s, v.locksOf(s, name)
		}
	}
	o := &open{member: v.Member, fd: number, handle: &Handle{fd: -1}, override: override}
	link := name
	takes, err := v.takes()
	if err != nil {
		return nil, err
	}
	if takes {
		if o.handle, err = v.taker.take(number); err != nil {
			return nil, err
		}
		defer o.release()
		link = strconv.Itoa(o.handle.fd)
	}
	if err := v.stat(o, link); err != nil {
		return nil, err
	}
	if v.last != nil && override == "" && v.last.inode() == o.inode() && !v.seen.differed(v.last, v.Member, number) && isSame(v.last.member.live(), v.last.fd, v.live(), number) {
		s.of = v.last
		return s, nil
	}
	asks := o.handle.asks()
	if asks {
		err = v.askFlags(o)
	}
	if err == nil {
		err = v.readLink(o, link)
	}
	if err == nil && asks {
		err = v.askOffset(o)
	}
	switch {
	case err != nil:
	case !asks || v.seen.locks.maybe(o.stat.Ino):
		err = v.describe(s, o, name)
	case o.needsInfo():
		err = v.describeHandle(o)
	}
	if err != nil {
		return nil, err
	}
	s.of = o
	if override == "" && !o.swapped {
		s.of = v.seen.add(o)
		v.last = s.of
	}
	return s, nil
}

// release closes the handle. A program may have as many descriptors as the writer itself can have, so the writer keeps
// none of them open.
func (o *open) release() { o.handle.Close() }

// stat finds out which object a descriptor is open on.
func (v *view) stat(o *open, link string) (err error) {
	if o.handle.fd >= 0 {
		o.stat, err = o.handle.Stat()
	} else {
		err = unix.Fstatat(v.links, link, &o.stat, 0)
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: o.path(), Err: err}
	}
	return nil
}

// readLink reads the name of the object. That of a socket has only its inode.
func (v *view) readLink(o *open, link string) error {
	if o.handle.asks() && o.format() == unix.S_IFSOCK && o.flags&unix.O_PATH == 0 {
		if o.override == "" {
			o.protocol = protocolThrough(o.handle.fd)
		}
		o.link = "socket:[" + strconv.FormatUint(o.stat.Ino, 10) + "]"
		return nil
	}
	n, err := unix.Readlinkat(v.links, link, v.buffer[:])
	if err != nil {
		return &os.PathError{Op: "readlink", Path: o.path(), Err: err}
	}
	o.link = string(v.buffer[:n])
	if o.hasPath() {
		o.filesystem = v.filesystem(o)
	}
	return nil
}

// askFlags asks for the state of a description through its handle. That is five times as fast as fdinfo.
func (v *view) askFlags(o *open) error {
	flags, err := unix.FcntlInt(uintptr(o.handle.fd), unix.F_GETFL, 0)
	if err != nil {
		return &os.PathError{Op: "F_GETFL", Path: o.path(), Err: err}
	}
	o.flags = uint32(flags) &^ unix.O_CLOEXEC
	o.ownerless = o.flags&unix.O_PATH != 0 || !isOwned(o.handle.fd)
	if !o.ownerless {
		o.ownedBy = ownerSetBy(o.handle.fd)
	}
	return nil
}

func (v *view) askOffset(o *open) (err error) {
	if o.seeksSafely() {
		o.pos, err = unix.Seek(o.handle.fd, 0, unix.SEEK_CUR)
		if err == unix.ESPIPE {
			err = nil
		}
	}
	return err
}

// seeksSafely tells whether lseek(2) with SEEK_CUR tells the offset and changes nothing. With directories, devices and files whose
// content the kernel generates, it depends on the file system or driver.
func (o *open) seeksSafely() bool {
	return o.format() == unix.S_IFREG && o.flags&unix.O_PATH == 0 && specialFilesystems[o.filesystem] == ""
}

// filesystem is the type of a file's file system. It is read once for each device.
func (v *view) filesystem(o *open) int64 {
	known, ok := v.filesystems[o.stat.Dev]
	if !ok {
		var st unix.Statfs_t
		if unix.Statfs(o.path(), &st) == nil {
			known = int64(st.Type)
		}
		v.filesystems[o.stat.Dev] = known
	}
	return known
}
