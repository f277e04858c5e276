package restore

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

func aVDSO(t testing.TB) []byte {
	t.Helper()
	code, err := ownVDSO()
	if err != nil || code == nil {
		t.Skipf("this kernel has no vDSO: %v", err)
	}
	return code
}

func TestRedirect(t *testing.T) {
	ours := aVDSO(t)
	const base = 0x7000_0000_0000
	all, err := functions(ours)
	if err != nil {
		t.Fatal(err)
	}
	clock := all["__vdso_clock_gettime"]
	old := bytes.Clone(ours)
	if err := redirect(old, ours, base); err != nil {
		t.Fatal(err)
	}
	want := binary.LittleEndian.AppendUint64([]byte{0x49, 0xbb}, base+clock.Value)
	if got := old[clock.Value:][:len(want)]; !bytes.Equal(got, want) {
		t.Errorf("clock_gettime begins with % x, want % x", got, want)
	}
	// A kernel whose vDSO has none of them.
	none := bytes.ReplaceAll(bytes.ReplaceAll(ours, []byte("gettime"), []byte("GETTIME")), []byte("getcpu"), []byte("GETCPU"))
	old = bytes.Clone(ours)
	if err := redirect(old, none, base); err != nil {
		t.Fatal(err)
	}
	call := []byte{0xb8, unix.SYS_CLOCK_GETTIME, 0, 0, 0, 0x0f, 0x05, 0xc3}
	if got := old[clock.Value:][:len(call)]; !bytes.Equal(got, call) {
		t.Errorf("clock_gettime begins with % x, want % x", got, call)
	}
}

// FuzzRedirect: the old one comes from an image.
func FuzzRedirect(f *testing.F) {
	ours := aVDSO(f)
	f.Add(ours)
	f.Add(ours[:5000])
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, old []byte) {
		_ = redirect(bytes.Clone(old), ours, 0x7000_0000_0000)
	})
}
