package lab

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mappings parses /proc/PID/smaps. It reads what each mapping is and its flags (VmFlags), but not how many of its pages are present.
// Adjacent mappings that do not differ become one mapping, because it does not matter whether the kernel has merged them. The mappings
// of the kernel may be at other addresses after a restart.
func mappings(dir string) (map[string]any, error) {
	data, err := os.ReadFile(filepath.Join(dir, "smaps"))
	if err != nil {
		return nil, err
	}
	var all []mapping
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			start, end, _ := strings.Cut(fields[0], "-")
			all = append(all, mapping{
				start: start, end: end, perms: fields[1], offset: fields[2], path: objectName(strings.Join(fields[5:], " ")),
				object: sharedObject(fields),
			})
		case len(fields) > 0 && fields[0] == "VmFlags:":
			all[len(all)-1].flags = vmFlags(fields[1:])
		case len(fields) > 1 && fields[0] == "KernelPageSize:":
			all[len(all)-1].page = fields[1]
		}
	}
	return tree(merged(all)), nil
}

type mapping struct {
	start, end, perms, offset, path, flags, page string
	object                                       string // device and inode of shared memory that no path leads to
}

// sharedObject identifies the shared memory of a line of maps: START-END PERMS OFFSET DEVICE INODE PATH.
func sharedObject(fields []string) string {
	path := strings.Join(fields[5:], " ")
	if !strings.HasSuffix(fields[1], "s") || !strings.HasSuffix(path, " (deleted)") && !strings.HasPrefix(path, "/SYSV") {
		return ""
	}
	return fields[3] + ":" + fields[4]
}

// objectName is the name of what is mapped. Shared anonymous memory and a memfd without a name are the same kind of object,
// so they get the same name.
func objectName(path string) string {
	if path == "/memfd: (deleted)" {
		return "/dev/zero (deleted)"
	}
	return path
}

// vmFlags leaves out two flags: soft-dirty tells what was written since a process has last cleared it, and accountable depends on the
// order of mprotect(2) and the first write.
func vmFlags(flags []string) string {
	var kept []string
	for _, flag := range flags {
		if flag != "sd" && flag != "ac" {
			kept = append(kept, flag)
		}
	}
	return strings.Join(kept, " ")
}

func merged(all []mapping) []mapping {
	var out []mapping
	for _, m := range all {
		if n := len(out); n > 0 && m.follows(out[n-1]) {
			out[n-1].end = m.end
			continue
		}
		out = append(out, m)
	}
	return out
}

// follows reports whether m goes on where before ends: anonymous memory, or the same file.
func (m mapping) follows(before mapping) bool {
	return m.start == before.end && m.path == before.path && m.perms == before.perms &&
		m.flags == before.flags && m.page == before.page && m.object == before.object && (m.path == "" || m.origin() == before.origin())
}

// origin is the address at which the start of the file would be mapped.
func (m mapping) origin() uint64 {
	start, _ := strconv.ParseUint(m.start, 16, 64)
	offset, _ := strconv.ParseUint(m.offset, 16, 64)
	return start - offset
}

func tree(all []mapping) map[string]any {
	named := map[string]any{}
	for _, m := range all {
		if m.path == "[vsyscall]" {
			continue
		}
		if m.path == "[stack]" {
			m.start = "stack" // it grows when a signal is handled
		}
		fields := map[string]any{"perms": m.perms, "offset": m.offset, "path": m.path, "flags": m.flags, "page": m.page}
		if m.object != "" {
			fields["object"] = m.object
		}
		named[m.start+"-"+m.end] = fields
	}
	return named
}
