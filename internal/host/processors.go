package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Processors is the kernel's number of processors, with those that may be added while it runs.
func Processors() (uint64, error) {
	const path = "/sys/devices/system/cpu/possible"
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := countOf(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// countOf counts the numbers in a list like "0-3,8".
func countOf(list string) (n uint64, err error) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 32)
		if err != nil {
			return 0, err
		}
		to, err := strconv.ParseUint(last, 10, 32)
		if err != nil {
			return 0, err
		}
		if to < from {
			return 0, fmt.Errorf("%q: not a range", part)
		}
		n += to - from + 1
	}
	return n, nil
}
