// Package obstacle holds the reasons why a checkpoint or a restart is not possible. Each reason says which process, where in
// it, what, why, and what the user can do. crak collects all obstacles before it refuses anything.
package obstacle

import "strings"

// An Obstacle is one thing that cannot be checkpointed or restored.
type Obstacle struct {
	Pid    int    `json:"pid,omitempty"`
	Where  string `json:"where,omitempty"`  // "fd 7", "mapping 7f0000000000-7f0000001000", "thread 413"; empty: the whole process
	What   string `json:"what"`             // "io_uring instance"
	Detail string `json:"detail,omitempty"` // which of several: "pipe:[12]"
	Why    string `json:"why"`              // "not supported"
	Do     string `json:"do,omitempty"`     // "start the program with …"
	Option string `json:"option,omitempty"` // of crak checkpoint, makes the image without it: "--fd 7=close"
	Passes bool   `json:"-"`                // it may soon be gone if the program runs on, so the writer tries again
}

// Error is one line, whatever the names in it are: "pid 12 fd 7: io_uring instance: not supported; start the program with …".
func (o Obstacle) Error() string { return List{o}.Error() }

// A List is every obstacle found, in order.
type List []Obstacle

// Error groups the obstacles by kind and says each hint once (Summary). A hint for several kinds is on a line of its own.
func (l List) Error() string {
	var lines []string
	for _, a := range l.Summary() {
		switch {
		case a.Hint == "":
			lines = append(lines, a.Lines...)
		case len(a.Lines) == 1:
			lines = append(lines, a.Lines[0]+"; "+a.Hint)
		default:
			lines = append(append(lines, a.Lines...), "for each of these: "+a.Hint)
		}
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
