package restore

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDetour: detour overwrites only the `mov` before the system call, and bytes that were zero.
func TestDetour(t *testing.T) {
	ours := aVDSO(t)
	code := bytes.Clone(ours)
	if err := detour(code, 0x1122334455667788); err != nil {
		t.Fatal(err)
	}
	all, err := functions(ours)
	if err != nil {
		t.Fatal(err)
	}
	clock := all["__vdso_clock_gettime"]
	at := bytes.Index(ours[clock.Value:], systemCallOf(unix.SYS_CLOCK_GETTIME)) + int(clock.Value)
	for i := range ours {
		if ours[i] != code[i] && ours[i] != 0 && (i < at || i >= at+5) {
			t.Errorf("byte %#x changes from %#x to %#x", i, ours[i], code[i])
		}
	}
	if code[at] != 0xe9 || code[at+5] != 0x0f || code[at+6] != 0x05 {
		t.Errorf("the system call has become % x", code[at:at+7])
	}
}

func TestDetourRefuses(t *testing.T) {
	ours := aVDSO(t)
	none := bytes.ReplaceAll(ours, systemCallOf(unix.SYS_CLOCK_GETTIME), make([]byte, 7))
	if err := detour(none, 1); err == nil {
		t.Error("no system call: no error")
	}
	full := bytes.Clone(ours)
	for i := len(full) - 1; full[i] == 0; i-- {
		full[i] = 0xcc
	}
	if err := detour(full, 1); err == nil {
		t.Error("no room: no error")
	}
}
