package proc

import (
	"io"
	"strings"
)

// A Limit is one resource limit: the largest number stands for none (RLIM_INFINITY).
type Limit struct{ Soft, Hard uint64 }

// Limits parses /proc/PID/limits. The lines come in the order of the numbers of the resources (setrlimit(2)). The name of a resource has
// spaces in it, and 26 columns.
func Limits(r io.Reader) (all []Limit, err error) {
	l := newLines(r, "limits")
	for l.next() {
		if l.n == 1 { // the header
			continue
		}
		if len(l.text) < 26 {
			return nil, l.bad("too short")
		}
		w := strings.Fields(l.text[26:])
		if len(w) < 2 {
			return nil, l.bad("too few fields")
		}
		f := fields{l: l}
		all = append(all, Limit{f.limit("soft limit", w[0]), f.limit("hard limit", w[1])})
		if f.err != nil {
			return nil, f.err
		}
	}
	return all, l.err
}

func (f *fields) limit(name, s string) uint64 {
	if s == "unlimited" {
		return 1<<64 - 1
	}
	return f.uint(name, s, 10)
}
