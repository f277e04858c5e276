// Package retry repeats system calls that a signal has interrupted.
//
// The Go runtime sends SIGURG to its own threads. The kernel repeats most interrupted calls itself, because the runtime's handler has
// SA_RESTART. But a file server can answer EINTR when an open(2) is interrupted (FUSE, some network file systems). Package os repeats such
// calls; package unix does not.
package retry

import "golang.org/x/sys/unix"

// Interrupted makes a call until its error is not EINTR. It is not for close(2), which has closed the descriptor even if it fails.
func Interrupted[T any](call func() (T, error)) (T, error) {
	for {
		if result, err := call(); err != unix.EINTR {
			return result, err
		}
	}
}

// Open is open(2).
func Open(path string, flags int, mode uint32) (int, error) {
	return Interrupted(func() (int, error) { return unix.Open(path, flags, mode) })
}

// Openat is openat(2).
func Openat(dir int, path string, flags int, mode uint32) (int, error) {
	return Interrupted(func() (int, error) { return unix.Openat(dir, path, flags, mode) })
}

// Openat2 is openat2(2).
func Openat2(dir int, path string, how *unix.OpenHow) (int, error) {
	return Interrupted(func() (int, error) { return unix.Openat2(dir, path, how) })
}
