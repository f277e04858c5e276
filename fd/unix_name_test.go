package fd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// exchanged is the path of a directory that another user exchanges all the time for a symbolic link to a second directory. In the second
// directory there is a regular file with the name s.
func exchanged(t *testing.T) (dir string, check func()) {
	base := t.TempDir()
	path := func(name string) string { return filepath.Join(base, name) }
	must(t, os.Mkdir(path("dir"), 0o700))
	must(t, os.Mkdir(path("other"), 0o700))
	must(t, os.WriteFile(path("other/s"), []byte("text"), 0o600))
	must(t, os.Symlink("other", path("link")))
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, path("dir"), unix.AT_FDCWD, path("link"), unix.RENAME_EXCHANGE)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	return path("dir"), func() {
		t.Helper()
		if text, err := os.ReadFile(path("other/s")); err != nil || string(text) != "text" {
			t.Fatalf("%s: %q: %v", path("other/s"), text, err)
		}
	}
}

const exchanges = 2000

// TestBindInReplacedDirectory binds sockets in a directory that is exchanged. The file of the other directory stays.
func TestBindInReplacedDirectory(t *testing.T) {
	dir, check := exchanged(t)
	record, err := json.Marshal(map[string]any{"type": 1, "name": map[string]any{"path": dir + "/s",
		"file": map[string]any{"mode": unix.S_IFSOCK | 0o755, "uid": os.Geteuid(), "gid": os.Getegid()}}})
	must(t, err)
	for range exchanges {
		env := &fd.Env{}
		env.Know(&image.Group{Objects: []image.Object{{ID: 1, Kind: "unix_socket", Record: record}}})
		f, err := fd.Make(image.Description{ID: 1, Kind: "unix_socket", Object: 1, Flags: unix.O_RDWR}, env)
		if err == nil {
			f.Close()
			_ = env.Commit()
		}
		env.Abandon()
		env.Close()
		check()
	}
}

// TestUnlinkedInReplacedDirectory makes files without a name in a directory that is exchanged. The file of the other directory stays.
func TestUnlinkedInReplacedDirectory(t *testing.T) {
	dir, check := exchanged(t)
	for range exchanges {
		f, err := new(fd.Env).MakeUnlinked(image.MemoryObject{Kind: image.MemoryFile, Name: dir + "/s"})
		if err == nil {
			f.Close()
		}
		check()
	}
}
