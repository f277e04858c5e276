package coord

import (
	"errors"
	"slices"
	"time"

	"crak.dev/crak/internal/obstacle"
)

// Some obstacles pass when the program runs on: a connection that the server accepts a moment later, an event that the program is
// about to read. crak lets the program run on and freezes it again. It waits between the attempts, each time twice as long
// up to a limit: the kernel has no event for what it waits for, and each attempt stops the program for a moment.
const (
	firstPassing    = 2 * time.Millisecond
	longestPassing  = 32 * time.Millisecond
	patiencePassing = 2 * time.Second
)

// passes tells whether nothing but such obstacles prevents a checkpoint.
func passes(err error) bool {
	var list obstacle.List
	return errors.As(err, &list) && !slices.ContainsFunc(list, func(o obstacle.Obstacle) bool { return !o.Passes })
}
