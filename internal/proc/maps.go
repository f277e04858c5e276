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
	Offset  uint64 // bytes, into the file; 0 without a file
	Major   uint32 // device of the file's inode
	Minor   uint32
	Inode   uint64
	Path    string // "" for plain anonymous memory; "[heap]", "[anon:name]"; a file's name
	Deleted bool   // the file was deleted under this name
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

// Device is the file's device, encoded like st_dev of stat(2). (The two can differ on file systems whose subvolumes have their
// own devices.)
func (m Mapping) Device() uint64 { return unix.Mkdev(m.Major, m.Minor) }

// Anonymous reports whether no file is behind the mapping. Shared anonymous memory, memfds and SysV segments have a file inside
// the kernel, so they are not anonymous in this sense. The inode number alone is not enough to decide this: the inode number
// of a SysV segment is its ID, and the first ID of an IPC namespace is 0.
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
	m.Path = kept(m.Path)
	return m, f.err
}

// parseMappingName reverses what seq_file_path() and d_path() in the kernel do: they write a newline as \012, and append
// " (deleted)" to the name of a deleted file.
func parseMappingName(s string, inode uint64) (path string, deleted bool) {
	s = strings.ReplaceAll(s, `\012`, "\n")
	if inode == 0 && !strings.HasPrefix(s, "/") {
		return s, false
	}
	return strings.CutSuffix(s, " (deleted)")
}
