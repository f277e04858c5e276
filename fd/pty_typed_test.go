package fd

import (
	"slices"
	"testing"
)

// TestTyped checks that lines and the beginning of a line arrive as a whole: in one write, if it can hold them.
func TestTyped(t *testing.T) {
	content := []byte("one\nab" + "q\x04\nx\n" + "half\n")
	got := typed(content, []int{4, 2, 3, 2})
	if want := "one\nab\x04q\x16\x04\nx\nhalf\x16\n"; string(got.keys) != want {
		t.Errorf("keys %q, want %q", got.keys, want)
	}
	if got.arrive != 11 || !slices.Equal(got.writes, []int{len(got.keys)}) {
		t.Errorf("%d bytes arrive, in writes of %d", got.arrive, got.writes)
	}

	lengths := slices.Repeat([]int{100}, 50)
	line := append(slices.Repeat([]byte{'x'}, 99), '\n')
	content = append(slices.Repeat(line, 50), "half"...)
	got = typed(content, lengths)
	if got.arrive != 4000 {
		t.Errorf("%d bytes arrive, want the 40 lines that the queue can hold", got.arrive)
	}
	total := 0
	for _, size := range got.writes {
		total += size
	}
	if last := got.writes[len(got.writes)-1]; total != len(content) || last != ptyPass {
		t.Errorf("writes of %d bytes, %d in all, want a last one of %d, and %d in all", got.writes, total, ptyPass, len(content))
	}
}

func TestLineLengths(t *testing.T) {
	content := []byte("one\ntwo\nthree\nhalf")
	tests := map[string]struct {
		results []int64
		want    []int
	}{
		"none":              {[]int64{-11, -11}, nil},
		"all were read":     {[]int64{4, 0, 4, 6, -11}, []int{4, 0, 4, 6}},
		"more than reads":   {[]int64{4}, []int{4, 4, 6}},
		"longer than there": {[]int64{40}, nil},
	}
	for name, test := range tests {
		got, err := lineLengths(content, test.results)
		if !slices.Equal(got, test.want) || (err != nil) != (name == "longer than there") {
			t.Errorf("%s: %d, %v; want %d", name, got, err, test.want)
		}
	}
}

// TestPtyWrites checks that the writes have the sizes that fill whole buffers of the kernel.
func TestPtyWrites(t *testing.T) {
	total := 0
	for _, size := range ptyWrites(ptyQueue) {
		total += size
	}
	if total != ptyQueue || len(ptyWrites(ptyQueue)) != len(ptySizes) {
		t.Errorf("%d bytes in %d writes, want %d in %d", total, len(ptyWrites(ptyQueue)), ptyQueue, len(ptySizes))
	}
	if got := ptyWrites(1025); !slices.Equal(got, []int{1024, 1}) {
		t.Errorf("1,025 bytes: %d", got)
	}
}
