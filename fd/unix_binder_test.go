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

// TestBindThroughLink: a directory of eve's socket is a symbolic link to root's directory now. A restart by root makes no file there, and moves
// none. In eve's own directory the socket comes back, with its owner.
func TestBindThroughLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: it restarts processes of other users")
	}
	base, err := os.MkdirTemp("", "binder") // t.TempDir lets nobody else in
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(base) })
	must(t, os.Chmod(base, 0o755))
	eves, roots := filepath.Join(base, "eve"), filepath.Join(base, "root")
	must(t, os.Mkdir(eves, 0o755))
	must(t, os.Mkdir(roots, 0o755))
	must(t, os.Chown(eves, eve, eve))
	must(t, os.Symlink(roots, filepath.Join(eves, "link")))
	must(t, os.Lchown(filepath.Join(eves, "link"), eve, eve))
	// eve's group can write to a directory of root's: eve could put any link of root's there. And a directory like /tmp.
	must(t, os.Mkdir(filepath.Join(base, "group"), 0o755))
	must(t, os.Chown(filepath.Join(base, "group"), 0, eve))
	must(t, os.Chmod(filepath.Join(base, "group"), 0o775))
	must(t, os.Symlink(roots, filepath.Join(base, "group/link")))
	must(t, os.Mkdir(filepath.Join(base, "sticky"), 0o755))
	must(t, os.Chmod(filepath.Join(base, "sticky"), os.ModeSticky|0o777))
	must(t, os.Mkdir(filepath.Join(roots, "inner"), 0o755))
	must(t, os.Symlink(roots+"/inner", filepath.Join(base, "sticky/link")))
	must(t, os.Lchown(filepath.Join(base, "sticky/link"), eve, eve))
	old, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Bind(old, &unix.SockaddrUnix{Name: filepath.Join(roots, "old")}))
	must(t, unix.Close(old))
	before, err := os.Stat(filepath.Join(roots, "old"))
	must(t, err)

	bind := func(name map[string]any) error {
		name["file"] = map[string]any{"mode": unix.S_IFSOCK | 0o700, "uid": eve, "gid": eve}
		record, err := json.Marshal(map[string]any{"type": unix.SOCK_STREAM, "name": name})
		must(t, err)
		env := &fd.Env{}
		env.Know(&image.Group{Objects: []image.Object{{ID: 1, Kind: "unix_socket", Record: record}}})
		f, err := fd.Make(image.Description{ID: 1, Kind: "unix_socket", Object: 1, Flags: unix.O_RDWR}, env)
		if err == nil {
			f.Close()
			err = env.Commit()
		}
		env.Close()
		return err
	}
	for _, name := range []map[string]any{
		{"path": eves + "/link/new"}, {"path": eves + "/link/old"},
		{"path": "link/new", "directory": eves}, {"path": "new", "directory": eves + "/link"},
		{"path": base + "/group/link/new"}, {"path": base + "/group/link/old"}, {"path": base + "/sticky/link/../new"},
		{"path": "link/../new", "directory": base + "/sticky"},
	} {
		if err := bind(name); err == nil {
			t.Errorf("%v: bound", name)
		}
	}
	left, err := os.ReadDir(roots)
	must(t, err)
	if after, err := os.Stat(filepath.Join(roots, "old")); len(left) != 2 || err != nil || !os.SameFile(before, after) {
		t.Errorf("in root's directory: %v, %v", left, err)
	}
	for _, name := range []map[string]any{{"path": eves + "/s"}, {"path": eves + "/s"}, {"path": "r", "directory": eves}} {
		must(t, bind(name))
	}
	for _, name := range []map[string]any{{"path": base + "/group/s"}, {"path": base + "/sticky/s"}, {"path": base + "/root/s"}} {
		must(t, bind(name))
	}
	var st unix.Stat_t
	for _, name := range []string{"s", "r"} {
		if must(t, unix.Stat(filepath.Join(eves, name), &st)); st.Uid != eve || st.Mode != unix.S_IFSOCK|0o700 {
			t.Errorf("%s: user %d, mode %#o", name, st.Uid, st.Mode)
		}
	}
}
