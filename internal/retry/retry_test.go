package retry

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestInterrupted(t *testing.T) {
	calls := 0
	n, err := Interrupted(func() (int, error) {
		if calls++; calls < 3 {
			return -1, unix.EINTR
		}
		return 7, nil
	})
	if n != 7 || err != nil || calls != 3 {
		t.Errorf("%d, %v after %d calls", n, err, calls)
	}
	if _, err = Interrupted(func() (int, error) { return -1, unix.ENOENT }); err != unix.ENOENT {
		t.Errorf("another error: %v", err)
	}
}
