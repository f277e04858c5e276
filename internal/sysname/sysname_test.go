package sysname

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestOf(t *testing.T) {
	for number, want := range map[int64]string{
		unix.SYS_READ:            "read",
		unix.SYS_CLOCK_NANOSLEEP: "clock_nanosleep",
		unix.SYS_FUTEX_WAITV:     "futex_waitv",
		-1:                       "call -1",
		100000:                   "call 100000",
	} {
		if got := Of(number); got != want {
			t.Errorf("Of(%d) = %q, want %q", number, got, want)
		}
	}
}
