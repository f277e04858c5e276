package proc

import (
	"io"
	"strings"
)

// NumaPolicies parses /proc/PID/numa_maps. It returns the starts of the mappings whose NUMA policy is not the default (numa(7)).
func NumaPolicies(r io.Reader) ([]uint64, error) {
	var all []uint64
	l := newLines(r, "numa_maps")
	for l.next() {
		start, rest, _ := strings.Cut(l.text, " ")
		policy, _, _ := strings.Cut(rest, " ")
		if policy == "default" {
			continue
		}
		f := fields{l: l}
		all = append(all, f.uint("start", start, 16))
		if policy == "" {
			f.fail("policy")
		}
		if f.err != nil {
			return nil, f.err
		}
	}
	return all, l.err
}
