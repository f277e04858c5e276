package image

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoundTrip(t *testing.T) {
	for _, compress := range []bool{false, true} {
		dir := t.TempDir()
		path := goodImage(t, dir, Options{Compress: compress, Workers: 4})
		if want := filepath.Join(dir, "app.412", "1"); path != want {
			t.Fatalf("path: %s, want %s", path, want)
		}
		i, err := Open(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		if diff := cmp.Diff(goodGroup(), i.Group); diff != "" {
			t.Errorf("group (-want +got):\n%s", diff)
		}
		if err := i.Verify(context.Background(), nil); err != nil {
			t.Error(err)
		}
		for _, p := range goodContent {
			checkContent(t, i, p.space, p.runs)
		}
	}
}

// checkContent compares the content from Fill with pattern.
func checkContent(t *testing.T, i *Image, s Space, runs []Run) {
	t.Helper()
	want := make(map[uint64]string)
	for _, r := range runs {
		eachPage(r, func(p Run) {
			page := make([]byte, p.Length)
			pattern(page, []Run{p})
			if r.KeepZero || !isZero(page) {
				want[p.Start] = string(page)
			}
		})
	}
	got := make(map[uint64]string)
	var mu sync.Mutex
	err := i.Fill(context.Background(), s, 0, func(runs []Run, data []byte) error {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range runs {
			eachPage(r, func(p Run) {
				got[p.Start] = string(data[:p.Length])
				data = data[p.Length:]
			})
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if !cmp.Equal(want, got) {
		t.Errorf("%s: content differs: %d pages, want %d", s, len(got), len(want))
	}
}

func eachPage(r Run, fn func(Run)) {
	for at := r.Start; at < r.End(); at += PageSize {
		fn(Run{Start: at, Length: min(PageSize, r.End()-at)})
	}
}

func isZero(b []byte) bool { return string(b) == string(zeroes[:len(b)]) }

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(dir, Options{Program: "app", Pid: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(ProcessSpace(1), []Run{{Start: 0x1000, Length: 0x100000}}, pattern); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
