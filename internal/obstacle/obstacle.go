// Package obstacle holds the reasons why a checkpoint or a restart cannot be: each says
// where, what, why, and what to do about it, and all of them are collected before anything is refused.
package obstacle

import (
	"fmt"
	"strings"

	"crak.dev/crak/internal/printable"
)

// An Obstacle is one thing that cannot be checkpointed or restored.
type Obstacle struct {
	Pid   int    `json:"pid,omitempty"`
	Where string `json:"where,omitempty"` // "fd 7", "mapping 7f0000000000-7f0000001000", "thread 413"; empty: the process
	What  string `json:"what"`            // "io_uring instance"
	Why   string `json:"why"`             // "not supported"
	Do    string `json:"do,omitempty"`    // "start the program with …"
}

// Error is one line, whatever the names in it are.
func (o Obstacle) Error() string {
	var b strings.Builder
	if o.Pid != 0 {
		fmt.Fprintf(&b, "pid %d", o.Pid)
		if o.Where != "" {
			b.WriteByte(' ')
		} else {
			b.WriteString(": ")
		}
	}
	if o.Where != "" {
		b.WriteString(o.Where + ": ")
	}
	b.WriteString(o.What + ": " + o.Why)
	if o.Do != "" {
		b.WriteString("; " + o.Do)
	}
	return printable.Text(b.String())
}

// A List is every obstacle found, in order; as an error it is one a line.
type List []Obstacle

func (l List) Error() string {
	lines := make([]string, len(l))
	for i, o := range l {
		lines[i] = o.Error()
	}
	return strings.Join(lines, "\n")
}

// Err is nil for an empty list.
func (l List) Err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}
