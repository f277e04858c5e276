package fd_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// TestUnlinkedThroughLink: a directory of a deleted file is a symbolic link now. crak makes no directory where it leads to.
func TestUnlinkedThroughLink(t *testing.T) {
	base, old := t.TempDir(), time.Unix(1e9, 0)
	other := filepath.Join(base, "other")
	must(t, os.Mkdir(other, 0o700))
	must(t, os.Symlink("other", filepath.Join(base, "link")))
	must(t, os.Chtimes(other, old, old))
	f, err := new(fd.Env).MakeUnlinked(image.MemoryObject{Kind: image.MemoryFile, Name: filepath.Join(base, "link/made/file")})
	must(t, err) // in the directory for temporary files
	f.Close()
	if st, err := os.Stat(other); err != nil || !st.ModTime().Equal(old) {
		t.Errorf("something was made in %s: %v", other, err)
	}
}
