package proc

import (
	"io"
	"strings"
)

// Mount is one line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	ID         int
	Parent     int
	Major      uint32
	Minor      uint32
	Root       string // the directory of the file system that is mounted
	Point      string // mount point, seen from the process's root
	Options    string
	Type       string // "ext4"
	Source     string // "/dev/vda1"
	SuperBlock string // options of the file system
}

// Mountinfo parses /proc/PID/mountinfo.
func Mountinfo(r io.Reader) ([]Mount, error) {
	var all []Mount
	l := newLines(r, "mountinfo")
	for l.next() {
		// 36 35 98:0 /root /point rw,noatime [master:1 …] - ext3 /dev/root rw
		before, after, ok := strings.Cut(l.text, " - ")
		w, z := strings.Fields(before), strings.Fields(after)
		if !ok || len(w) < 6 || len(z) < 1 {
			return nil, l.bad("too few fields")
		}
		f := fields{l: l}
		major, minor, _ := strings.Cut(w[2], ":")
		m := Mount{
			ID:      f.int("id", w[0]),
			Parent:  f.int("parent", w[1]),
			Major:   f.uint32("device", major, 10),
			Minor:   f.uint32("device", minor, 10),
			Root:    unescapeOctal(w[3]),
			Point:   unescapeOctal(w[4]),
			Options: w[5],
			Type:    unescapeOctal(z[0]),
		}
		if len(z) > 1 {
			m.Source = unescapeOctal(z[1])
		}
		if len(z) > 2 {
			m.SuperBlock = z[2]
		}
		if f.err != nil {
			return nil, f.err
		}
		all = append(all, m)
	}
	return all, l.err
}

// unescapeOctal reverses mangle_path() in the kernel, which writes blank, tab, newline and backslash as \040 and so on.
func unescapeOctal(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(s)
}
