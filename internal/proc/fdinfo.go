package proc

import (
	"io"
	"strings"
)

// FdInfo is /proc/PID/fdinfo/FD (proc_pid_fdinfo(5)).
type FdInfo struct {
	Pos     int64
	Flags   uint32 // of open(2) and F_GETFL, and O_CLOEXEC of the descriptor
	MountID int
	Inode   uint64 // 0 before Linux 5.14
	Locks   []FileLock
	Extra   []Field // lines that only this kind of file has, in order: epoll's tfd, eventfd-count, …
}

// Field is one further line of fdinfo: "eventfd-count: 2a", "inotify wd:1 ino:…".
type Field struct {
	Key   string // up to the first colon or blank
	Value string // the rest, without colon and blanks around it
}

// FileLock is one "lock:" line, or one of /proc/locks (proc_locks(5)).
type FileLock struct {
	Type    string // "POSIX", "FLOCK", "OFDLCK", "LEASE", "DELEG", "ACCESS"
	Mode    string // "ADVISORY"; of a lease "ACTIVE", "BREAKING", "BREAKER"
	Access  string // "READ", "WRITE", "UNLCK"
	Blocked bool   // waiting for the lock before it
	Pid     int    // owner; -1: the open file description
	Major   uint32
	Minor   uint32
	Inode   uint64
	Start   int64
	End     int64 // inclusive; -1: to the end of the file, however it grows
}

// Fdinfo parses /proc/PID/fdinfo/FD.
func Fdinfo(r io.Reader) (FdInfo, error) {
	var info FdInfo
	l := newLines(r, "fdinfo")
	for l.next() {
		key, value := cutField(l.text)
		f := fields{l: l}
		switch key {
		case "pos":
			info.Pos = f.int64("position", value)
		case "flags":
			info.Flags = f.uint32("flags", value, 8)
		case "mnt_id":
			info.MountID = f.int("mount id", value)
		case "ino":
			info.Inode = f.uint("inode", value, 10)
		case "lock":
			info.Locks = append(info.Locks, parseLock(&f, value))
		default:
			info.Extra = append(info.Extra, Field{Key: key, Value: value})
		}
		if f.err != nil {
			return info, f.err
		}
	}
	return info, l.err
}

// Locks parses /proc/locks (proc_locks(5)).
func Locks(r io.Reader) (all []FileLock, err error) {
	l := newLines(r, "locks")
	for l.next() {
		f := fields{l: l}
		lock := parseLock(&f, l.text)
		if f.err != nil {
			return all, f.err
		}
		all = append(all, lock)
	}
	return all, l.err
}

// cutField splits a line at the first colon or blank.
func cutField(line string) (key, value string) {
	i := strings.IndexAny(line, ": \t")
	if i < 0 {
		return line, ""
	}
	return line[:i], strings.TrimSpace(strings.TrimPrefix(line[i:], ":"))
}

// parseLock takes "1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF"; a blocked request has
// "->" behind its number.
func parseLock(f *fields, value string) FileLock {
	var lock FileLock
	w := strings.Fields(value)
	if len(w) > 1 && w[1] == "->" {
		lock.Blocked = true
		w = append(w[:1], w[2:]...)
	}
	if len(w) != 8 {
		f.fail("lock")
		return lock
	}
	lock.Type, lock.Mode, lock.Access = w[1], w[2], w[3]
	lock.Pid = f.int("pid of the lock", w[4])
	id := strings.Split(w[5], ":")
	if len(id) != 3 {
		f.fail("file of the lock")
		return lock
	}
	lock.Major = f.uint32("device of the lock", id[0], 16)
	lock.Minor = f.uint32("device of the lock", id[1], 16)
	lock.Inode = f.uint("inode of the lock", id[2], 10)
	lock.Start = f.int64("start of the lock", w[6])
	lock.End = -1
	if w[7] != "EOF" {
		lock.End = f.int64("end of the lock", w[7])
	}
	return lock
}
