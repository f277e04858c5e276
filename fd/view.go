package fd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// A view reads the descriptors of a process. The program is frozen meanwhile, so a view makes as few system calls as
// possible: it looks names up relative to open directories.
type view struct {
	*Member
	fd, info int // descriptors of its fd and fdinfo directories
	links    int // descriptor of the directory with the links of the handles, /proc/self/fd; fd if there are no handles
	taker    *taker
	self     int // PID of the writer
	buffer   [4096]byte

	filesystems map[uint64]int64 // types, by device
}

// look reads every descriptor of a process, in ascending order. It leaves out descriptors that are closed meanwhile:
// the process may not be frozen.
func look(m *Member) ([]*open, error) {
	v := &view{Member: m, filesystems: make(map[uint64]int64)}
	var err error
	// os.Open would try to add the directory to Go's poller.
	if v.fd, err = unix.Open(m.Proc+"/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("descriptors: %w", err)
	}
	defer unix.Close(v.fd)
	names, err := v.names()
	if err != nil {
		return nil, fmt.Errorf("descriptors: %w", err)
	}
	v.info, err = unix.Open(m.Proc+"/fdinfo", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("descriptors: fdinfo: %w", err)
	}
	defer unix.Close(v.info)
	v.links = v.fd
	if m.Calls != nil {
		if v.links, err = unix.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return nil, fmt.Errorf("descriptors: %w", err)
		}
		defer unix.Close(v.links)
		v.self = os.Getpid()
		v.taker = newTaker(m.live(), v.fd)
		defer v.taker.close()
	}
	all := make([]*open, 0, len(names))
	for _, name := range names {
		o, err := v.at(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			closeHandles(all)
			return nil, fmt.Errorf("fd %s: %w", name, err)
		}
		if o != nil {
			all = append(all, o)
		}
	}
	if err := m.Overrides.missing(all); err != nil {
		closeHandles(all)
		return nil, err
	}
	slices.SortFunc(all, func(a, b *open) int { return a.fd - b.fd })
	return all, nil
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
func (v *view) at(name string) (*open, error) {
	number, err := strconv.Atoi(name)
	if err != nil {
		return nil, err
	}
	if slices.Contains(v.Except, number) || v.Proc == "/proc/self" && (number == v.fd || number == v.info) {
		return nil, nil
	}
	o := &open{fd: number, path: v.Proc + "/fd/" + name, handle: &Handle{fd: -1}, override: v.Overrides[number]}
	link := name
	if v.taker != nil {
		if o.handle, err = v.taker.take(number); err != nil {
			return nil, err
		}
		o.path = o.handle.path()
		link = strconv.Itoa(o.handle.fd)
	}
	if err = v.identify(o, link); err == nil {
		err = v.describe(o, name)
	}
	if err != nil || o.isPlain() {
		o.handle.Close()
	}
	return o, err
}

// identify finds out what a descriptor is open on.
func (v *view) identify(o *open, link string) error {
	n, err := unix.Readlinkat(v.links, link, v.buffer[:])
	if err != nil {
		return &os.PathError{Op: "readlink", Path: o.path, Err: err}
	}
	o.link = string(v.buffer[:n])
	if o.handle.fd >= 0 {
		o.stat, err = o.handle.Stat()
	} else {
		err = unix.Fstatat(v.links, link, &o.stat, 0)
	}
	if err != nil {
		return &os.PathError{Op: "stat", Path: o.path, Err: err}
	}
	if o.hasPath() {
		o.filesystem = v.filesystem(o)
	}
	return nil
}

// describe reads the state of the description. It also checks that the descriptor still has the description that the
// handle shares.
func (v *view) describe(o *open, name string) error {
	text, err := v.read(name)
	if err != nil {
		return &os.PathError{Op: "fdinfo", Path: o.path, Err: err}
	}
	info, err := proc.Fdinfo(bytes.NewReader(text))
	if err != nil {
		return err
	}
	o.pos, o.locks = info.Pos, info.Locks
	o.flags = info.Flags &^ unix.O_CLOEXEC
	o.cloex = info.Flags&unix.O_CLOEXEC != 0
	if o.handle.shares {
		o.swapped = kcmp(v.self, v.live(), o.handle.fd, o.fd) > kcmpEqual
	}
	return nil
}

// read reads a whole fdinfo. A short read is the last one, because the kernel fills the buffer with whole lines.
func (v *view) read(name string) ([]byte, error) {
	f, err := unix.Openat(v.info, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(f)
	n, err := unix.Read(f, v.buffer[:])
	if err != nil || n < len(v.buffer)/2 {
		return v.buffer[:max(n, 0)], err
	}
	text := append([]byte(nil), v.buffer[:n]...)
	for {
		n, err := unix.Read(f, v.buffer[:])
		if err != nil || n <= 0 {
			return text, err
		}
		text = append(text, v.buffer[:n]...)
	}
}

// filesystem is the type of a file's file system. It is read once for each device.
func (v *view) filesystem(o *open) int64 {
	known, ok := v.filesystems[o.stat.Dev]
	if !ok {
		var st unix.Statfs_t
		if unix.Statfs(o.path, &st) == nil {
			known = int64(st.Type)
		}
		v.filesystems[o.stat.Dev] = known
	}
	return known
}
