package restore

import (
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// TestReclaimTruncated: another process truncates the file in which the mutex is, while crak has it mapped.
func TestReclaimTruncated(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(image.PageSize); err != nil {
		t.Fatal(err)
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, image.PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if err := reclaimMapped((*uint32)(unsafe.Pointer(&memory[0])), 412); err == nil {
		t.Error("a mutex behind the end of the file is locked")
	}
}

func TestReclaimWord(t *testing.T) {
	const tid, other = 412, 999
	for _, test := range []struct {
		name              string
		have, value, want uint32
		ok                bool
	}{
		{"as it was", tid, tid, tid, true},
		{"marked by the kernel", futexOwnerDied, tid, tid, true},
		{"marked, with waiters", futexOwnerDied | futexWaiters, tid, tid | futexWaiters, true},
		{"had waiters", futexOwnerDied, tid | futexWaiters, tid | futexWaiters, true},
		{"taken over", other, tid, other, false},
		{"taken over, not yet consistent", futexOwnerDied | other, tid, futexOwnerDied | other, false},
		{"taken over and released", 0, tid, 0, false},
	} {
		word := test.have
		err := reclaimWord(&word, test.value)
		if word != test.want || (err == nil) != test.ok {
			t.Errorf("%s: %#x, %v; want %#x", test.name, word, err, test.want)
		}
	}
}
