package image

import (
	"fmt"
	"strconv"
	"strings"
)

// PageSize is the size of a page, in bytes: the unit of mappings, and in which the writer leaves out zeroes.
const PageSize = 4096

// PageAlign rounds a number of bytes up to whole pages.
func PageAlign(n uint64) uint64 { return (n + PageSize - 1) &^ (PageSize - 1) }

// A Space names the memory or object that the addresses of a Run refer to.
type Space string

const (
	processSpace = "process"
	memorySpace  = "memory"
	objectSpace  = "object"
)

// ProcessSpace is the private memory of a process. Addresses are those of the process.
func ProcessSpace(p Pid) Space { return Space(fmt.Sprintf("%s:%d", processSpace, p)) }

// MemorySpace is the content of a shared memory object. Addresses are offsets in the object.
func MemorySpace(id MemoryID) Space { return Space(fmt.Sprintf("%s:%d", memorySpace, id)) }

// ObjectSpace is the content of a kernel object. Addresses are offsets in the content, in bytes.
func ObjectSpace(id ObjectID) Space { return Space(fmt.Sprintf("%s:%d", objectSpace, id)) }

// split returns the kind and the number of a space.
func (s Space) split() (kind string, n int, err error) {
	kind, digits, ok := strings.Cut(string(s), ":")
	if ok && (kind == processSpace || kind == memorySpace || kind == objectSpace) {
		n, err = strconv.Atoi(digits)
		if err == nil && n > 0 && strconv.Itoa(n) == digits {
			return kind, n, nil
		}
	}
	return "", 0, fmt.Errorf("space %q: not process:N, memory:N or object:N", string(s))
}

// A Run is a range of a space, in bytes. In process and memory spaces it starts and ends on page boundaries.
type Run struct {
	Start, Length uint64

	// KeepZero tells the Writer to save the zero pages of the run too, because the mapped file has other content there.
	// It is not in the image.
	KeepZero bool
}

// End is the address after the run.
func (r Run) End() uint64 { return r.Start + r.Length }

func (r Run) String() string { return fmt.Sprintf("%#x-%#x", r.Start, r.End()) }

// runBytes returns the total length of all runs.
func runBytes(runs []Run) (n uint64) {
	for _, r := range runs {
		n += r.Length
	}
	return n
}

// appendRun appends r, or extends the last run if r continues it.
func appendRun(runs []Run, r Run) []Run {
	if n := len(runs); n > 0 && runs[n-1].End() == r.Start {
		runs[n-1].Length += r.Length
		return runs
	}
	return append(runs, Run{Start: r.Start, Length: r.Length})
}
