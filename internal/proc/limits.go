package proc

import (
	"io"
	"math"
	"strings"

	"golang.org/x/sys/unix"
)

// Limit is one line of /proc/PID/limits.
type Limit struct {
	Resource int // RLIMIT_*
	Name     string
	Soft     uint64 // Unlimited: none
	Hard     uint64
}

// Unlimited is RLIM_INFINITY.
const Unlimited = math.MaxUint64

// The names of lnames, fs/proc/base.c, by RLIMIT_* number. RLIMIT_NICE and the two after it
// have no names in x/sys.
var limitNames = []string{
	unix.RLIMIT_CPU:     "Max cpu time",
	unix.RLIMIT_FSIZE:   "Max file size",
	unix.RLIMIT_DATA:    "Max data size",
	unix.RLIMIT_STACK:   "Max stack size",
	unix.RLIMIT_CORE:    "Max core file size",
	unix.RLIMIT_RSS:     "Max resident set",
	unix.RLIMIT_NPROC:   "Max processes",
	unix.RLIMIT_NOFILE:  "Max open files",
	unix.RLIMIT_MEMLOCK: "Max locked memory",
	unix.RLIMIT_AS:      "Max address space",
	unix.RLIMIT_LOCKS:   "Max file locks",
	11:                  "Max pending signals",
	12:                  "Max msgqueue size",
	13:                  "Max nice priority",
	14:                  "Max realtime priority",
	15:                  "Max realtime timeout",
}

// Limits parses /proc/PID/limits. A resource of a newer kernel is left out.
func Limits(r io.Reader) ([]Limit, error) {
	var all []Limit
	l := newLines(r, "limits")
	if !l.next() || !strings.HasPrefix(l.text, "Limit ") {
		if l.err != nil {
			return nil, l.err
		}
		return nil, l.bad("not the heading")
	}
	for l.next() {
		for resource, name := range limitNames {
			rest, ok := strings.CutPrefix(l.text, name+" ")
			if !ok {
				continue
			}
			words := strings.Fields(rest)
			if len(words) < 2 {
				return nil, l.bad("too few fields")
			}
			f := fields{l: l}
			limit := Limit{Resource: resource, Name: name, Soft: parseLimit(&f, words[0]), Hard: parseLimit(&f, words[1])}
			if f.err != nil {
				return nil, f.err
			}
			all = append(all, limit)
		}
	}
	return all, l.err
}

func parseLimit(f *fields, s string) uint64 {
	if s == "unlimited" {
		return Unlimited
	}
	return f.uint("limit", s, 10)
}
