package proc

import (
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// Mapping is one line of /proc/PID/maps: one VMA.
type Mapping struct {
	Start   uint64
	End     uint64
	Prot    uint32 // PROT_READ | PROT_WRITE | PROT_EXEC
	Shared  bool
	Offset  uint64 // bytes, into the file; 0 where there is none
	Major   uint32 // device of the file's inode
	Minor   uint32
	Inode   uint64
	Path    string // "" for plain anonymous memory; "[heap]", "[anon:name]"; a file's name
	Deleted bool   // the file has no name any more; Path is the last one
}

// Maps parses /proc/PID/maps, in the order of addresses.
func Maps(r io.Reader) ([]Mapping, error) {
	var all []Mapping
	l := newLines(r, "maps")
	for l.next() {
		m, err := parseMapping(l)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, l.err
}

// Size is the mapping's length in bytes.
func (m Mapping) Size() uint64 { return m.End - m.Start }

// Device is the file's device as stat(2) has it in st_dev. (On file systems with devices of
// their own for subvolumes the two may differ.)
func (m Mapping) Device() uint64 { return unix.Mkdev(m.Major, m.Minor) }

// Anonymous reports whether no file of a file system is behind the mapping. Shared
// anonymous memory, memfds and SysV segments are not anonymous in this sense. The inode's number alone does not tell:
// a SysV segment has its ID for one, and the first ID of an IPC namespace is 0.
func (m Mapping) Anonymous() bool { return m.Inode == 0 && !strings.HasPrefix(m.Path, "/") }

// parseMapping takes "7f10-7f20 r-xp 00001000 fe:00 4711      /usr/lib/x y (deleted)".
// The five fields are followed by padding and the name, which may hold blanks.
func parseMapping(l *lines) (Mapping, error) {
	var m Mapping
	rest := l.text
	var col [5]string
	for i := range col {
		col[i], rest, _ = strings.Cut(rest, " ")
		if col[i] == "" {
			return m, l.bad("too few fields")
		}
	}
	f := fields{l: l}
	start, end, _ := strings.Cut(col[0], "-")
	m.Start = f.uint("start address", start, 16)
	m.End = f.uint("end address", end, 16)
	if f.err == nil && m.End <= m.Start {
		f.fail("range")
	}
	perms := col[1]
	if len(perms) != 4 {
		return m, l.bad("bad permissions")
	}
	for i, bit := range []uint32{unix.PROT_READ, unix.PROT_WRITE, unix.PROT_EXEC} {
		switch perms[i] {
		case "rwx"[i]:
			m.Prot |= bit
		case '-':
		default:
			f.fail("permissions")
		}
	}
	m.Shared = perms[3] == 's'
	if perms[3] != 's' && perms[3] != 'p' {
		f.fail("permissions")
	}
	m.Offset = f.uint("offset", col[2], 16)
	major, minor, _ := strings.Cut(col[3], ":")
	m.Major = f.uint32("device", major, 16)
	m.Minor = f.uint32("device", minor, 16)
	m.Inode = f.uint("inode", col[4], 10)
	m.Path, m.Deleted = parseMappingName(strings.TrimLeft(rest, " "), m.Inode)
	return m, f.err
}

// parseMappingName undoes what seq_file_path() and d_path() add: a newline is written as
// \012, and a name that is gone has " (deleted)" behind it.
func parseMappingName(s string, inode uint64) (path string, deleted bool) {
	s = strings.ReplaceAll(s, `\012`, "\n")
	if inode == 0 && !strings.HasPrefix(s, "/") {
		return s, false
	}
	return strings.CutSuffix(s, " (deleted)")
}
