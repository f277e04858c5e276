package fd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSwappedWhileOpened replaces or changes a file right after openAt has accepted it. openAt must refuse what it
// has not checked.
func TestSwappedWhileOpened(t *testing.T) {
	swaps := map[string]struct {
		swap func(path string) error
		want string
	}{
		"by another file": {func(path string) error { return os.WriteFile(path, nil, 0o600) }, "replaced while it was opened"},
		"by a fifo":       {func(path string) error { return unix.Mkfifo(path, 0o600) }, "replaced while it was opened"},
		"by a link":       {func(path string) error { return os.Symlink(path+".old", path) }, "symbolic link"},
		"by nothing":      {func(path string) error { return nil }, "no such file"},
	}
	for name, test := range swaps {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte("good"), 0o600); err != nil {
				t.Fatal(err)
			}
			looks := 0
			f, err := openAt(path, unix.O_RDONLY, func(*unix.Stat_t) error {
				if looks++; looks > 1 {
					return nil
				}
				if err := os.Rename(path, path+".old"); err != nil {
					return err
				}
				return test.swap(path)
			})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("opened %v, %v", f, err)
			}
		})
	}
}

// TestAcceptedAsOpened checks that openAt calls accept again for the file that it has opened.
func TestAcceptedAsOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("good"), 0o600); err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	f, err := openAt(path, unix.O_RDONLY, func(st *unix.Stat_t) error {
		sizes = append(sizes, st.Size)
		return os.Truncate(path, 2)
	})
	if f != nil {
		defer f.Close()
	}
	if err != nil || len(sizes) != 2 || sizes[1] != 2 {
		t.Errorf("%v, %v, sizes %v", f, err, sizes)
	}
}
