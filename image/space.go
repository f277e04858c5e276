package image

import (
	"fmt"
	"strconv"
	"strings"
)

// PageSize is the unit in which zeroes are left out, and of mappings, in bytes.
const PageSize = 4096

// PageAlign rounds a number of bytes up to whole pages.
func PageAlign(n uint64) uint64 { return (n + PageSize - 1) &^ (PageSize - 1) }

// A Space is what the addresses of a Run are addresses of.
type Space string

const (
	processSpace     = "process"
	memorySpace      = "memory"
	descriptionSpace = "description"
	objectSpace      = "object"
)

// ProcessSpace is the private memory of a member; addresses are its own.
func ProcessSpace(p Pid) Space { return Space(fmt.Sprintf("%s:%d", processSpace, p)) }

// MemorySpace is the content of a shared memory object; addresses are offsets into it.
func MemorySpace(id MemoryID) Space { return Space(fmt.Sprintf("%s:%d", memorySpace, id)) }

// DescriptionSpace is content kept for an open file description (a deleted file's, say);
// addresses are offsets into it.
func DescriptionSpace(id DescriptionID) Space {
	return Space(fmt.Sprintf("%s:%d", descriptionSpace, id))
}

// ObjectSpace is the content of a kernel object; addresses are offsets into it, in bytes.
func ObjectSpace(id ObjectID) Space { return Space(fmt.Sprintf("%s:%d", objectSpace, id)) }

// split returns the kind and the number of a space.
func (s Space) split() (kind string, n int, err error) {
	kind, digits, ok := strings.Cut(string(s), ":")
	if ok && (kind == processSpace || kind == memorySpace || kind == descriptionSpace || kind == objectSpace) {
		n, err = strconv.Atoi(digits)
		if err == nil && n > 0 && strconv.Itoa(n) == digits {
			return kind, n, nil
		}
	}
	return "", 0, fmt.Errorf("space %q: not process:N, memory:N, description:N or object:N", string(s))
}

// A Run is a range of a space, in bytes. Runs of process and memory spaces begin and
// end on pages.
type Run struct {
	Start, Length uint64

	// KeepZero has zero pages of the run saved too: where they are not what is behind
	// the mapping. It is for the Writer only and not in the image.
	KeepZero bool
}

// End is the address after the run.
func (r Run) End() uint64 { return r.Start + r.Length }

func (r Run) String() string { return fmt.Sprintf("%#x-%#x", r.Start, r.End()) }

// runBytes is the length of all runs together.
func runBytes(runs []Run) (n uint64) {
	for _, r := range runs {
		n += r.Length
	}
	return n
}

// appendRun adds r, as part of the last run where it continues that.
func appendRun(runs []Run, r Run) []Run {
	if n := len(runs); n > 0 && runs[n-1].End() == r.Start {
		runs[n-1].Length += r.Length
		return runs
	}
	return append(runs, Run{Start: r.Start, Length: r.Length})
}
