package fd_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
)

// TestRenameWithoutFlag checks that a socket file gets another name in a file system that refuses RENAME_NOREPLACE, and replaces no file.
func TestRenameWithoutFlag(t *testing.T) {
	type call = func(from, to string) error
	fails := func(errno unix.Errno) call { return func(string, string) error { return errno } }
	for what, link := range map[string]call{"link(2)": unix.Link, "no link(2)": fails(unix.EPERM)} {
		rename := func(from, to string) error { return fd.RenameWith(from, to, fails(unix.EINVAL), link) }
		dir := t.TempDir()
		from, to, taken := filepath.Join(dir, "from"), filepath.Join(dir, "to"), filepath.Join(dir, "taken")
		s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(s)
		must(t, unix.Bind(s, &unix.SockaddrUnix{Name: from}))
		before, err := os.Stat(from)
		must(t, err)
		must(t, os.WriteFile(taken, []byte("content"), 0o600))
		if err := rename(from, taken); !errors.Is(err, unix.EEXIST) {
			t.Errorf("%s: to a name that exists: %v", what, err)
		}
		if content, err := os.ReadFile(taken); err != nil || string(content) != "content" {
			t.Errorf("%s: the other file has %q, %v", what, content, err)
		}
		must(t, rename(from, to))
		after, err := os.Stat(to)
		if err != nil || !os.SameFile(before, after) {
			t.Errorf("%s: the new name: %v", what, err)
		}
		if _, err := os.Lstat(from); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the old name: %v", what, err)
		}
	}
}
