package dump

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestForeignObject: an object that the program may not access is not the group's if it was last used before the group began. Its last
// user had a PID that a member has now.
func TestForeignObject(t *testing.T) {
	c := &sysvCapture{since: 100}
	for _, v := range []struct {
		failed     unix.Errno
		sent, read int64
		want       bool
	}{
		{unix.EACCES, 99, 0, true},
		{unix.EACCES, 99, 100, false}, // a member may have used it
		{unix.EACCES, 100, 0, false},
		{unix.ENOSYS, 99, 0, false}, // the kernel cannot copy messages: the object may be the group's
		{0, 99, 0, false},
	} {
		if got := c.isForeign(v.failed, v.sent, v.read); got != v.want {
			t.Errorf("%v, used at %d and %d: %v, want %v", v.failed, v.sent, v.read, got, v.want)
		}
	}
}
