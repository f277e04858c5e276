package fd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// TestBindInReplacedDirectory binds sockets in a directory that another user replaces all the time by a symbolic link to a second
// directory. A regular file of the same name in the second directory must stay.
func TestBindInReplacedDirectory(t *testing.T) {
	base := t.TempDir()
	for _, dir := range []string{"own", "other"} {
		must(t, os.Mkdir(filepath.Join(base, dir), 0o700))
	}
	victim := filepath.Join(base, "other", "s")
	must(t, os.WriteFile(victim, []byte("text"), 0o600))
	link := filepath.Join(base, "link")
	must(t, os.Symlink("own", link))
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			next := link + strconv.Itoa(i%2)
			if os.Symlink([]string{"own", "other"}[i%2], next) == nil {
				_ = os.Rename(next, link)
			}
		}
	}()
	defer func() { <-stopped }()
	defer close(stop)
	record, err := json.Marshal(map[string]any{"type": 1, "name": map[string]any{"path": link + "/s",
		"file": map[string]any{"mode": unix.S_IFSOCK | 0o755, "uid": os.Geteuid(), "gid": os.Getegid()}}})
	must(t, err)
	for range 2000 {
		env := &fd.Env{}
		env.Know(&image.Group{Objects: []image.Object{{ID: 1, Kind: "unix_socket", Record: record}}})
		f, err := fd.Make(image.Description{ID: 1, Kind: "unix_socket", Object: 1, Flags: unix.O_RDWR}, env)
		if err == nil {
			f.Close()
			_ = env.Commit()
		}
		env.Abandon()
		env.Close()
		text, err := os.ReadFile(victim)
		if err != nil || string(text) != "text" {
			t.Fatalf("%s: %q: %v", victim, text, err)
		}
	}
}
