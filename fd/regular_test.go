package fd_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
)

// opened opens a new file of ten bytes, at offset 4.
func opened(t *testing.T, flags int) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	return at(t, openedAt(t, path, flags), 4)
}

func openedAt(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	n, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	f := os.NewFile(uintptr(n), path)
	t.Cleanup(func() { f.Close() })
	return f
}

func at(t *testing.T, f *os.File, offset int64) *os.File {
	t.Helper()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRegularLooksAlike(t *testing.T) {
	for name, flags := range map[string]int{
		"read":       unix.O_RDONLY,
		"write":      unix.O_WRONLY,
		"both":       unix.O_RDWR,
		"append":     unix.O_WRONLY | unix.O_APPEND,
		"nonblock":   unix.O_RDWR | unix.O_NONBLOCK,
		"synced":     unix.O_RDWR | unix.O_SYNC,
		"noatime":    unix.O_RDONLY | unix.O_NOATIME,
		"nofollow":   unix.O_RDONLY | unix.O_NOFOLLOW,
		"truncating": unix.O_RDWR | unix.O_CREAT,
	} {
		t.Run(name, func(t *testing.T) {
			f := opened(t, flags)
			d := captured(t, ourselves()).description(t, f)
			got := made(t, d, &fd.Env{})
			if diff := cmp.Diff(shown(t, f), shown(t, got)); diff != "" {
				t.Errorf("before and after (-+):\n%s", diff)
			}
		})
	}
}

func TestCreatingFlagsAreNotRepeated(t *testing.T) {
	f := opened(t, unix.O_RDWR|unix.O_TRUNC|unix.O_CREAT)
	if _, err := f.WriteString("kept"); err != nil {
		t.Fatal(err)
	}
	made(t, captured(t, ourselves()).description(t, f), &fd.Env{})
	if got, err := os.ReadFile(f.Name()); err != nil || !strings.HasSuffix(string(got), "kept") {
		t.Errorf("file holds %q, %v after restart", got, err)
	}
}

func TestDupsShareOneDescription(t *testing.T) {
	f := opened(t, unix.O_RDONLY)
	again := openedAt(t, f.Name(), unix.O_RDONLY)
	at(t, again, 4)
	var dups []*os.File
	for range 40 {
		n, err := unix.Dup(int(choose(t, len(dups)%2 == 0, f, again).Fd()))
		if err != nil {
			t.Fatal(err)
		}
		dup := os.NewFile(uintptr(n), f.Name())
		t.Cleanup(func() { dup.Close() })
		dups = append(dups, dup)
	}
	p := captured(t, ourselves())
	first, second := p.description(t, f).ID, p.description(t, again).ID
	if first == second {
		t.Fatalf("two open(2) share description %d", first)
	}
	for i, dup := range dups {
		if got, want := p.description(t, dup).ID, choose(t, i%2 == 0, first, second); got != want {
			t.Errorf("dup %d: description %d, want %d", i, got, want)
		}
	}
}

func choose[T any](_ *testing.T, yes bool, a, b T) T {
	if yes {
		return a
	}
	return b
}

func TestDeletedFileComesBackUnlinked(t *testing.T) {
	f := opened(t, unix.O_RDWR)
	reader := openedAt(t, f.Name(), unix.O_RDONLY)
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	p := captured(t, ourselves())
	env := &fd.Env{Memory: p.memory(t)}
	got := made(t, p.description(t, f), env)
	if diff := cmp.Diff(shown(t, f), shown(t, got)); diff != "" {
		t.Errorf("before and after (-+):\n%s", diff)
	}
	if _, err := got.WriteString("XY"); err != nil {
		t.Fatal(err)
	}
	gotReader := made(t, p.description(t, reader), env)
	content, err := io.ReadAll(gotReader)
	if err != nil || string(content) != "0123XY6789" {
		t.Errorf("another description of the same file reads %q, %v", content, err)
	}
	if _, err := os.Stat(f.Name()); err == nil {
		t.Errorf("%s exists again", f.Name())
	}
}

func TestDeletedFileWhoseNameIsTaken(t *testing.T) {
	f := opened(t, unix.O_RDONLY)
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	p := captured(t, ourselves())
	if err := os.WriteFile(f.Name(), []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := made(t, p.description(t, f), &fd.Env{Memory: p.memory(t)})
	if content, err := io.ReadAll(got); err != nil || string(content) != "456789" {
		t.Errorf("reads %q, %v", content, err)
	}
	if content, err := os.ReadFile(f.Name()); err != nil || string(content) != "new" {
		t.Errorf("the file that has the name now holds %q, %v", content, err)
	}
	entries, err := os.ReadDir(filepath.Dir(f.Name()))
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func TestNamelessFile(t *testing.T) {
	dir := t.TempDir()
	f := openedAt(t, dir, unix.O_TMPFILE|unix.O_RDWR)
	if _, err := f.WriteString("content"); err != nil {
		t.Fatal(err)
	}
	p := captured(t, ourselves())
	got := made(t, p.description(t, f), &fd.Env{Memory: p.memory(t)})
	if content, err := io.ReadAll(at(t, got, 0)); err != nil || string(content) != "content" {
		t.Errorf("reads %q, %v", content, err)
	}
	if err := unix.Linkat(int(got.Fd()), "", unix.AT_FDCWD, dir+"/linked", unix.AT_EMPTY_PATH); err != nil && os.Getuid() == 0 {
		t.Errorf("cannot be linked, as a file of O_TMPFILE can: %v", err)
	}
}

// TestOtherName checks that a file which was deleted under one name comes back by another one that is near, and is refused if the other
// name is far away.
func TestOtherName(t *testing.T) {
	f := opened(t, unix.O_RDONLY)
	far := t.TempDir() + "/far"
	must(t, os.Link(f.Name(), far))
	must(t, os.Remove(f.Name()))
	if got := captured(t, ourselves()).obstacleOf(f); !strings.Contains(got, "has others") {
		t.Errorf("obstacle %q", got)
	}
	must(t, os.Link(far, f.Name()+"2"))
	got := made(t, captured(t, ourselves()).description(t, f), &fd.Env{})
	if got.Name() != f.Name()+"2" {
		t.Errorf("made %s, want %s", got.Name(), f.Name()+"2")
	}
}

func TestNameThatEndsLikeADeletedOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x (deleted)")
	f := openedAt(t, path, unix.O_CREAT|unix.O_RDWR)
	got := made(t, captured(t, ourselves()).description(t, f), &fd.Env{})
	if got.Name() != path {
		t.Errorf("made %s, want %s", got.Name(), path)
	}
}
