package fd_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// runs makes runs of pairs of numbers: from, to.
func runs(ends ...uint64) (all []image.Run) {
	for i := 0; i < len(ends); i += 2 {
		all = append(all, image.Run{Start: ends[i], Length: ends[i+1] - ends[i]})
	}
	return all
}

// covered tells whether every wanted run lies in one of those that were found.
func covered(runs, found []image.Run) bool {
	for _, r := range runs {
		in := func(f image.Run) bool { return f.Start <= r.Start && r.End() <= f.End() }
		if !slices.ContainsFunc(found, in) {
			return false
		}
	}
	return true
}

// TestData checks that Runs lists the parts of a file that are not holes, in whole pages, whatever the block size of
// the file system is.
func TestData(t *testing.T) {
	const page = image.PageSize
	for name, test := range map[string]struct {
		writes map[int64]int // length at each offset
		size   int64
		want   []image.Run
	}{
		"empty":       {nil, 0, nil},
		"hole":        {nil, 16 * page, nil},
		"one byte":    {map[int64]int{0: 1}, 1, runs(0, page)},
		"after holes": {map[int64]int{8 * page: page, 24*page + 7: 9}, 32 * page, runs(8*page, 9*page, 24*page, 25*page)},
		"grown":       {map[int64]int{8 * page: 1}, 4 * page, nil}, // since its size was read
		"at the end":  {map[int64]int{9*page + 100: 5}, 9*page + 105, runs(9*page, 10*page)},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "file"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(test.size); err != nil {
				t.Fatal(err)
			}
			for offset, n := range test.writes {
				if _, err := f.WriteAt(make([]byte, n), offset); err != nil {
					t.Fatal(err)
				}
			}
			h, err := fd.TakePath(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			st, err := h.Stat()
			must(t, err)
			source, err := h.Open(fd.Inode{Device: st.Dev, Number: st.Ino})
			must(t, err)
			defer source.Close()
			got, err := source.Runs(test.size)
			if err != nil {
				t.Fatal(err)
			}
			if !knowsHoles(t) {
				test.want = runs(0, (uint64(test.size)+page-1)/page*page)
			}
			if n := len(got); n > 0 && got[n-1].Start >= uint64(test.size) {
				t.Errorf("%v begins behind the size %d", got[n-1], test.size)
			}
			if diff := cmp.Diff(test.want, got); diff != "" && !covered(test.want, got) { // blocks may be larger than pages
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func knowsHoles(t *testing.T) bool {
	f, err := os.Create(filepath.Join(t.TempDir(), "hole"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.Truncate(1 << 20)
	_, err = unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA)
	return err == unix.ENXIO
}
