package fd

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// A view reads a process's descriptors. The program stands still meanwhile: names are looked up from the two
// directories' own descriptors, and there are as few system calls as can be.
type view struct {
	proc     string // "/proc/412"
	fd, info int    // descriptors of its fd and fdinfo directories
	buffer   [4096]byte

	filesystems map[uint64]int64 // types, by device
}

// look reads every descriptor of a process, in ascending order. One that is closed meanwhile
// (only a process that is not frozen does that) is left out.
func look(m *Member) ([]*open, error) {
	v := &view{proc: m.Proc, filesystems: make(map[uint64]int64)}
	var err error
	// Not by os.Open, which would try to have the directory polled.
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
	all := make([]*open, 0, len(names))
	for _, name := range names {
		o, err := v.at(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("fd %s: %w", name, err)
		}
		if !slices.Contains(m.Except, o.fd) && (m.Proc != "/proc/self" || o.fd != v.fd && o.fd != v.info) {
			all = append(all, o)
		}
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

// at reads one descriptor.
func (v *view) at(name string) (*open, error) {
	number, err := strconv.Atoi(name)
	if err != nil {
		return nil, err
	}
	o := &open{fd: number, proc: v.proc + "/fd/" + name}
	n, err := unix.Readlinkat(v.fd, name, v.buffer[:])
	if err != nil {
		return nil, &os.PathError{Op: "readlink", Path: o.proc, Err: err}
	}
	o.link = string(v.buffer[:n])
	if err := unix.Fstatat(v.fd, name, &o.stat, 0); err != nil {
		return nil, &os.PathError{Op: "stat", Path: o.proc, Err: err}
	}
	if o.hasPath() {
		o.filesystem = v.filesystem(o)
	}
	text, err := v.read(name)
	if err != nil {
		return nil, &os.PathError{Op: "fdinfo", Path: o.proc, Err: err}
	}
	info, err := proc.Fdinfo(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	o.pos, o.locks = info.Pos, info.Locks
	o.flags = info.Flags &^ unix.O_CLOEXEC
	o.cloex = info.Flags&unix.O_CLOEXEC != 0
	return o, nil
}

// read reads a whole fdinfo. A short read is its end, as the kernel fills the buffer with whole lines.
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

// filesystem is the type of a file's file system, asked for once a device.
func (v *view) filesystem(o *open) int64 {
	known, ok := v.filesystems[o.stat.Dev]
	if !ok {
		var st unix.Statfs_t
		if unix.Statfs(o.proc, &st) == nil {
			known = int64(st.Type)
		}
		v.filesystems[o.stat.Dev] = known
	}
	return known
}
