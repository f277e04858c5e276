package fd

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReplacedWhileMade: another user, who can write to the directory, puts another file in the place of one that crak has just made.
func TestReplacedWhileMade(t *testing.T) {
	path := t.TempDir()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	made := func(name string) *os.File {
		f, err := os.OpenFile(filepath.Join(path, name), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f, err := withoutName(made("one"), dir, "one", 0, nil); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	f := made("two")
	if err := os.Rename(filepath.Join(path, "two"), filepath.Join(path, "moved")); err != nil {
		t.Fatal(err)
	}
	made("two").Close()
	if _, err := withoutName(f, dir, "two", 0, nil); err == nil {
		t.Error("crak has removed another file than the one that it has open")
	}
	if os.Geteuid() != 0 {
		return
	}
	fifo := filepath.Join(path, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := openNew(dir, "fifo", unix.O_RDWR, unix.S_IFIFO); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	if err := os.Chown(fifo, 41234, 41234); err != nil {
		t.Fatal(err)
	}
	if f, err := openNew(dir, "fifo", unix.O_RDWR, unix.S_IFIFO); err == nil {
		f.Close()
		t.Error("another user's FIFO is taken for a new one")
	}
}
