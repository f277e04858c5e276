package restore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// TestExecutableOfEachUser: two processes of different users executed one file. Another file is at its path now, which the second user may
// not execute. The first process gets it, the second does not, whichever comes first.
func TestExecutableOfEachUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: it restarts processes of other users")
	}
	dir, err := os.MkdirTemp("", "executables") // t.TempDir lets nobody else in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "it")
	var st unix.Stat_t
	for _, err := range []error{os.Chmod(dir, os.ModeSticky|0o777), os.WriteFile(path, nil, 0o700), unix.Stat(path, &st)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	was := image.File{Path: path, Device: st.Dev, Inode: st.Ino + 1, Mode: st.Mode, MtimeNs: st.Mtim.Nano()}
	of := func(pid image.Pid, uid uint32) *image.Process {
		credentials := image.Credentials{UID: [4]uint32{uid, uid, uid, uid}, GID: [4]uint32{uid, uid, uid, uid}}
		return &image.Process{Pid: pid, Executable: was, Threads: []image.Thread{{Credentials: credentials}}}
	}
	for _, order := range [][]*image.Process{{of(1, 0), of(2, 41234)}, {of(2, 41234), of(1, 0)}} {
		var notices []string
		g := &group{img: &image.Image{Group: &image.Group{}}, executables: make(map[executableFile]int), descriptors: newDescriptors(&image.Group{})}
		g.env = &fd.Env{Notice: func(text string) { notices = append(notices, text) }}
		for _, p := range order {
			n, err := g.executable(p)
			if err != nil || (n >= 0) != (p.Pid == 1) {
				t.Errorf("pid %d: descriptor %d, %v", p.Pid, n, err)
			}
		}
		if len(notices) != 1 || !strings.Contains(notices[0], "pid 2") || !strings.Contains(notices[0], "user 41234 could not open it") {
			t.Errorf("notices %q", notices)
		}
		for _, f := range g.open {
			f.Close()
		}
	}
}
