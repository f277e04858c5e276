package fd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// TestPlacesForUser: the working directory, the executable or a mapped file of eve was in a directory like /tmp. Something of root's is at its path
// now. A restart by root gives it to eve only if she could use it herself.
func TestPlacesForUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: it restarts processes of other users")
	}
	base, err := os.MkdirTemp("", "places") // t.TempDir lets nobody else in
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(base) })
	must(t, os.Chmod(base, os.ModeSticky|0o777))
	file, directory := filepath.Join(base, "file"), filepath.Join(base, "directory")
	put := func(mode os.FileMode) {
		must(t, os.RemoveAll(file))
		must(t, os.WriteFile(file, []byte("same"), mode))
		must(t, os.Chmod(file, mode))
		must(t, os.Chtimes(file, time.Unix(1e9, 0), time.Unix(1e9, 0)))
		must(t, os.RemoveAll(directory))
		must(t, os.Mkdir(directory, mode))
		must(t, os.Chmod(directory, mode))
	}
	put(0o755)
	must(t, os.Link(file, file+".old")) // so that its inode number stays in use
	var st unix.Stat_t
	must(t, unix.Stat(file, &st))
	was := image.File{Path: file, Device: st.Dev, Inode: st.Ino, Mode: st.Mode, Size: st.Size, MtimeNs: st.Mtim.Nano()}
	credentials := image.Credentials{UID: [4]uint32{eve, eve, eve, eve}, GID: [4]uint32{eve, eve, eve, eve}}
	p := image.Process{Pid: 1, Threads: []image.Thread{{Credentials: credentials}}, Executable: was,
		Mappings: []image.Mapping{{Kind: image.MappingFile, Start: 0x1000, End: 0x2000, File: &was}}}
	closed := func(f *os.File, err error) error {
		if err == nil {
			f.Close()
		}
		return err
	}
	env := func() *fd.Env {
		e := &fd.Env{}
		e.Know(&image.Group{Processes: []image.Process{p}})
		return e
	}
	uses := map[string]func() error{
		"working directory": func() error { return fd.CheckDirectory(&p, directory) },
		"executable":        func() error { return closed(env().OpenExecutable(&p)) },
		"mapped file":       func() error { return closed(env().OpenMapped(&p.Mappings[0])) },
		"mapped, checked":   func() error { return env().CheckMapped(&p.Mappings[0]).Err() },
	}
	for _, mode := range []os.FileMode{0o755, 0o700} {
		put(mode)
		for name, use := range uses {
			err := use()
			refused := err != nil && strings.Contains(err.Error(), fmt.Sprintf("user %d could not", eve))
			if refused != (mode == 0o700) || err != nil && !refused {
				t.Errorf("%s of mode %o: %v", name, mode, err)
			}
		}
	}
}
