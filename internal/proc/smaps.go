package proc

import (
	"io"
	"strings"
)

// SmapsEntry is one VMA of /proc/PID/smaps: the line as in maps, and the lines that follow it.
type SmapsEntry struct {
	Mapping
	Rss            uint64 // bytes
	Swap           uint64 // bytes
	KernelPageSize uint64 // bytes; of a hugetlb mapping its huge page size
	ProtectionKey  int    // pkeys(7); 0 if the processor has none
	VmFlags        string // two letters each (proc_pid_smaps(5)): "rd wr mr mw me ac"
}

// Has reports whether the kernel shows the flag, such as "gd", for the VMA.
func (e *SmapsEntry) Has(flag string) bool {
	for at := 0; at+len(flag) <= len(e.VmFlags); at += 3 {
		if e.VmFlags[at:at+len(flag)] == flag {
			return true
		}
	}
	return false
}

// Smaps parses /proc/PID/smaps.
func Smaps(r io.Reader) ([]SmapsEntry, error) {
	var all []SmapsEntry
	l := newLines(r, "smaps")
	for l.next() {
		if skipped(l.text) {
			continue
		}
		key, value, attribute := smapsAttribute(l.text)
		if !attribute {
			m, err := parseMapping(l)
			if err != nil {
				return nil, err
			}
			all = append(all, SmapsEntry{Mapping: m})
			continue
		}
		if len(all) == 0 {
			return nil, l.bad("no mapping before it")
		}
		e := &all[len(all)-1]
		f := fields{l: l}
		switch key {
		case "Rss":
			e.Rss = f.kilobytes("size", value)
		case "Swap":
			e.Swap = f.kilobytes("size", value)
		case "KernelPageSize":
			e.KernelPageSize = f.kilobytes("size", value)
		case "ProtectionKey":
			e.ProtectionKey = f.int("key", value)
		case "VmFlags":
			e.VmFlags = kept(strings.TrimSuffix(value, " "))
		}
		if f.err != nil {
			return nil, f.err
		}
	}
	return all, l.err
}

// skipped reports whether a line is one of the many that are not used. They are skipped before they are split, to save time.
func skipped(line string) bool {
	if line == "" {
		return false
	}
	switch line[0] {
	case 'R': // Referenced
		return strings.HasPrefix(line, "Re")
	case 'S': // Size, Shared_Clean, Shared_Dirty, Shared_Hugetlb, ShmemPmdMapped, SwapPss
		return !strings.HasPrefix(line, "Swap:")
	case 'P': // Pss, Private_*
		return !strings.HasPrefix(line, "Prot")
	case 'A', 'L', 'M', 'F', 'T': // Anonymous, AnonHugePages, LazyFree, Locked, MMUPageSize, …
		return true
	}
	return false
}

// smapsAttribute splits "Rss:    4 kB". ok is false for the first line of a mapping, whose first word has no colon at its end.
func smapsAttribute(line string) (key, value string, ok bool) {
	word, rest, _ := strings.Cut(line, " ")
	key, ok = strings.CutSuffix(word, ":")
	return key, strings.TrimSpace(rest), ok
}
