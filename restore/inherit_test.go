package restore

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/handmade"
)

// Memory that the processes of TestInherit have: 4 MiB, of which a child has changed, dropped and added some pages.
const (
	sharedAt    = handmade.DataAt + 0x100000
	sharedBytes = 4 << 20
)

func withShared(p *image.Process) {
	p.Mappings = append(p.Mappings, image.Mapping{Start: sharedAt, End: sharedAt + sharedBytes, Prot: 3, Kind: image.MappingAnonymous})
}

// TestInherit: a child has its own content, and shares with its parent the pages that are the same.
func TestInherit(t *testing.T) {
	for _, mode := range modes(t) {
		t.Run(string(mode), func(t *testing.T) {
			first := aPid(t)
			g, err := handmade.Family(first, me(), "A J A A\nB A A A\nC B A A\nD A D D\nE B A A\nF E A A")
			if err != nil {
				t.Fatal(err)
			}
			whole := make([]byte, sharedBytes)
			for i := range whole {
				whole[i] = byte(i>>12 + i*7 + 1)
			}
			content := make(map[image.Pid][]byte)
			for i := range g.Processes[:4] { // E and F have executed another program, and share nothing
				withShared(&g.Processes[i])
				own := slices.Clone(whole)
				copy(own[i*image.PageSize:], bytes.Repeat([]byte{byte(i)}, image.PageSize)) // changed
				clear(own[(100+i)*image.PageSize : (100+2*i)*image.PageSize])               // dropped
				content[g.Processes[i].Pid] = own
			}
			path := writeMore(t, g, lingers, func(w *image.Writer, p *image.Process) error {
				read := func(pid image.Pid) func(dst []byte, runs []image.Run) error {
					return func(dst []byte, runs []image.Run) error {
						for _, r := range runs {
							dst = dst[copy(dst, content[pid][r.Start-sharedAt:][:r.Length]):]
						}
						return nil
					}
				}
				if content[p.Pid] == nil {
					return nil
				}
				var like *image.Like
				if content[p.Parent] != nil {
					like = &image.Like{Space: image.ProcessSpace(p.Parent), Read: read(p.Parent)}
				}
				return w.PutLike(like, image.ProcessSpace(p.Pid), []image.Run{{Start: sharedAt, Length: sharedBytes}}, read(p.Pid), nil)
			})
			runImage(t, g, path, mode)
			pss := uint64(0)
			if n := len(relatives(t)); n != len(g.Processes) {
				t.Errorf("%d processes, want %d", n, len(g.Processes))
			}
			for pid, r := range relatives(t) {
				if content[image.Pid(pid)] == nil {
					continue
				}
				memory, err := os.Open(proc.Path(r.Seen, "mem"))
				if err != nil {
					t.Skip("no permission to read the memory of the processes") // of a user namespace
				}
				got := make([]byte, sharedBytes)
				if _, err := memory.ReadAt(got, sharedAt); err != nil {
					t.Error(err)
				}
				memory.Close()
				if !bytes.Equal(got, content[image.Pid(pid)]) {
					t.Errorf("pid %d: other content", pid)
				}
				pss += pssOf(t, r.Seen)
			}
			if pss > sharedBytes*5/4 {
				t.Errorf("the processes use %d bytes together", pss)
			}
		})
	}
}

// pssOf returns the proportional set size of a process, in bytes.
func pssOf(t *testing.T, pid int) uint64 {
	text, err := os.ReadFile(proc.Path(pid, "smaps_rollup"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var n uint64
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &n); err == nil {
			return n << 10
		}
	}
	t.Fatal("smaps_rollup: no Pss")
	return 0
}
