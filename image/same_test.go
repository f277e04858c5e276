package image

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// family writes the image of a chain of processes: each is a child of the one before, and has the content of its parent but for
// one page of its own.
func family(t *testing.T, members int) (*Image, func(member int, page uint64) []byte) {
	t.Helper()
	path, page, err := writeFamily(t, members)
	must(t, err)
	img, err := Open(path)
	must(t, err)
	t.Cleanup(func() { img.Close() })
	return img, page
}

func writeFamily(t *testing.T, members int) (string, func(member int, page uint64) []byte, error) {
	t.Helper()
	const start, pages = 0x500000, 0x200
	w, err := Create(t.TempDir(), Options{Program: "app", Pid: 412, Compress: true})
	must(t, err)
	defer w.Abort()
	page := func(member int, n uint64) []byte {
		b := make([]byte, PageSize)
		if n%7 != 0 { // the others are zero
			for own := member; own > 0; own-- { // the last process up to this one that has written to the page
				if n == uint64(own) {
					fillRandom(b, n<<32|uint64(own))
					return b
				}
			}
			fillRandom(b, n)
		}
		return b
	}
	read := func(member int) func([]byte, []Run) error {
		return func(dst []byte, runs []Run) error {
			for _, r := range runs {
				for at := r.Start; at < r.End(); at += PageSize {
					dst = dst[copy(dst, page(member, (at-start)/PageSize)):]
				}
			}
			return nil
		}
	}
	g := goodGroup()
	for i := range members {
		var like *Like
		if i > 0 {
			p := goodGroup().Processes[0]
			p.Pid += Pid(i)
			p.Parent = p.Pid - 1
			p.Threads[0].Parked.Tid = int32(p.Pid)
			g.Processes = append(g.Processes, p)
			like = &Like{ProcessSpace(p.Parent), read(i - 1)}
		}
		must(t, w.PutLike(like, ProcessSpace(Pid(412+i)), []Run{{Start: start, Length: pages * PageSize}}, read(i), nil))
	}
	path, err := w.Commit(Manifest{Program: "app", Root: 412}, g)
	return path, page, err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSame checks that what processes have in common is stored once, and that each gets its own content back.
func TestSame(t *testing.T) {
	const members, pages, zero = 6, 0x200, 0x200/7 + 1
	img, page := family(t, members)
	stored := img.Totals("").Stored
	if most := uint64((pages - zero + members) * PageSize); stored > most {
		t.Errorf("%d bytes stored, want at most %d", stored, most)
	}
	if same, want := img.Totals("").Same, uint64((members-1)*(pages-zero-1)*PageSize); same != want {
		t.Errorf("%d bytes the same, want %d", same, want)
	}
	must(t, img.Verify(context.Background(), nil))
	for i := range members {
		space := ProcessSpace(Pid(412 + i))
		var mu sync.Mutex
		got := make(map[uint64][]byte)
		must(t, img.Fill(context.Background(), space, 2, func(runs []Run, data []byte) error {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range runs {
				for at := r.Start; at < r.End(); at += PageSize {
					if got[at] != nil {
						return fmt.Errorf("page %#x is filled twice", at)
					}
					got[at], data = bytes.Clone(data[:PageSize]), data[PageSize:]
				}
			}
			return nil
		}))
		for n := range uint64(pages) {
			want, at := page(i, n), 0x500000+n*PageSize
			if filled := got[at]; filled == nil && !bytes.Equal(want, zeroes[:PageSize]) || filled != nil && !bytes.Equal(filled, want) {
				t.Errorf("process %d page %d: filled with other content", i, n)
			}
		}
	}
}

// TestSameDepth checks that the content of a process does not come through too many others.
func TestSameDepth(t *testing.T) {
	img, _ := family(t, LikeMost+1)
	img.Close()
	if _, _, err := writeFamily(t, LikeMost+2); err == nil || !strings.Contains(err.Error(), "through more than 16 others") {
		t.Errorf("committed: %v", err)
	}
}
