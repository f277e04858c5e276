package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLibraryPath(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	path, err := libraryPath()
	if err != nil || !strings.HasPrefix(path, cache+"/crak/") {
		t.Fatalf("%q, %v", path, err)
	}
	for _, damage := range []func(){
		func() {},
		func() { os.WriteFile(path, []byte("broken"), 0o700) },
		func() { os.Remove(path) },
	} {
		damage()
		again, err := libraryPath()
		content, readErr := os.ReadFile(path)
		if err != nil || again != path || readErr != nil || !bytes.Equal(content, library) {
			t.Errorf("%q, %v; %d bytes, %v", again, err, len(content), readErr)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".new-*")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestLibraryBelowAnother: root with another user's HOME does not keep libcrak.so where that user could replace it.
func TestLibraryBelowAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a directory of another user")
	}
	home := t.TempDir()
	os.Chown(home, 12345, 12345)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, ".cache"))
	path, err := libraryPath()
	if err != nil || strings.HasPrefix(path, home) {
		t.Errorf("%q, %v", path, err)
	}
	if left, _ := os.ReadDir(home); len(left) > 0 {
		t.Errorf("made in another user's directory: %v", left)
	}
}

// TestLibraryInReach: a directory in which another user could replace libcrak.so is refused.
func TestLibraryInReach(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	os.Chmod(open, 0o777)
	if _, err := unpackLibrary(open); err == nil || !strings.Contains(err.Error(), "others may write to it") {
		t.Errorf("a directory that all may write: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if _, err := unpackLibrary(link); err == nil {
		t.Error("a directory that a link leads to")
	}
	if os.Geteuid() == 0 {
		theirs := filepath.Join(t.TempDir(), "theirs")
		if err := os.Mkdir(theirs, 0o700); err != nil {
			t.Fatal(err)
		}
		os.Chown(theirs, 12345, 12345)
		if _, err := unpackLibrary(theirs); err == nil {
			t.Error("a directory of another user")
		}
	}
}

// TestIsPreloadPath: paths with characters that are special in LD_PRELOAD are not used.
func TestIsPreloadPath(t *testing.T) {
	for path, want := range map[string]bool{"/usr/lib/libcrak.so": true, "/my tools/x.so": false, "/a:b/x.so": false, "/$LIB/x.so": false} {
		if got := isPreloadPath(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
