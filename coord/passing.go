package coord

import (
	"errors"
	"slices"
	"strings"
	"time"

	"crak.dev/crak/internal/obstacle"
)

// Some obstacles may soon be gone if the program runs on: the server accepts a connection, or the program reads an event. So the writer
// lets the program run on, waits, and freezes it again. A thread may wait in vfork(2), and cannot be frozen: the writer first waits until
// no thread is in an uninterruptible sleep (uninterruptible.go). The kernel has no event for what the writer waits for, and each attempt stops the
// program for a moment. So the writer waits twice as long after each attempt, up to a limit, but at least as long as the attempt has taken:
// on a busy machine the program needs more time, too. The waits together take 2 seconds.
const (
	firstPassing   = 2 * time.Millisecond
	longestPassing = 32 * time.Millisecond
	timeoutPassing = 2 * time.Second
)

// passes tells whether only obstacles that pass prevent a checkpoint. If one of them is about a descriptor, those about other
// descriptors may pass with it: what waits in a socket may have the other end of a pipe (SCM_RIGHTS).
func passes(err error) bool {
	var list obstacle.List
	if !errors.As(err, &list) {
		return false
	}
	waits := slices.ContainsFunc(list, func(o obstacle.Obstacle) bool { return o.Passes && isDescriptor(o) })
	return !slices.ContainsFunc(list, func(o obstacle.Obstacle) bool { return !o.Passes && !(waits && isDescriptor(o)) })
}

func isDescriptor(o obstacle.Obstacle) bool { return strings.HasPrefix(o.Where, "fd ") }
