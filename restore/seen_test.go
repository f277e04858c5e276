package restore

import (
	"os"
	"path/filepath"
	"testing"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
)

// TestSeen: crak looks at a file once, whatever the number of members that have it.
func TestSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	writeFile(t, path, "content")
	file := handmade.FileAt(path)
	m := &image.Mapping{Kind: image.MappingFile, File: &file}
	known, env := newSeen(), (&Options{Notice: func(string) {}}).env()
	env.Know(handmade.Group(412, me()))
	for _, when := range []string{"while it exists", "when it is gone"} {
		if c := known.compare(file); c.Change != fd.Same {
			t.Errorf("%s: the file %v", when, c)
		}
		if list := known.checkMapped(m, env); len(list) > 0 {
			t.Errorf("%s: %v", when, list)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	if c := newSeen().compare(file); c.Change != fd.Gone {
		t.Errorf("a new look: the file %v", c)
	}
}
