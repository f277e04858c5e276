package image

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestContent(t *testing.T) {
	i, err := Open(goodImage(t, t.TempDir(), Options{Compress: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if got, want := i.Spaces(), []Space{"description:7", "memory:3", "process:412"}; !cmp.Equal(got, want) {
		t.Errorf("spaces %v, want %v", got, want)
	}
	c, err := i.Content(ProcessSpace(412))
	if err != nil {
		t.Fatal(err)
	}
	const start, length = 0x500000, 0x200000
	all := make([]byte, length)
	pattern(all, []Run{{Start: start, Length: length}})
	for _, r := range []Run{{Start: start, Length: length}, {Start: start + 0xfff, Length: 2}, {Start: start + 0x123456, Length: 0x12345}} {
		got := make([]byte, r.Length)
		if _, err := c.ReadAt(got, int64(r.Start)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, all[r.Start-start:][:r.Length]) {
			t.Errorf("%v: not what was saved", r)
		}
	}
	// Addresses that were not saved read as zeroes.
	got := bytes.Repeat([]byte{1}, 0x3000)
	if _, err := c.ReadAt(got, 0x10000); err != nil || !isZero(got) {
		t.Errorf("outside: %v, zero: %v", err, isZero(got))
	}
	saved := runBytes(c.Runs())
	if total := i.Totals(ProcessSpace(412)).Raw; saved != total {
		t.Errorf("runs have %d bytes, totals say %d", saved, total)
	}
}
