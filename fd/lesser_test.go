package fd_test

import (
	"encoding/json"
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

const eve, bob = 41234, 41236 // users that no machine has

// ofUser is a group of one process of a user, which has what is open as f.
func ofUser(t *testing.T, uid uint32, f *os.File) (*image.Group, image.Description) {
	t.Helper()
	p := captured(t, ourselves())
	d := p.description(t, f)
	credentials := image.Credentials{UID: [4]uint32{uid, uid, uid, uid}, GID: [4]uint32{uid, uid, uid, uid}}
	process := image.Process{Pid: 1, Threads: []image.Thread{{Credentials: credentials}}, Descriptors: []image.Descriptor{{Fd: 3, Description: d.ID}}}
	return &image.Group{Processes: []image.Process{process}, Descriptions: []image.Description{d}, Objects: p.Objects}, d
}

// TestOtherFileForUser: after the checkpoint, eve removes what she has open in a directory like /tmp, and another user makes something there that
// eve may not open. A restart by root does not give it to eve.
func TestOtherFileForUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: it restarts processes of other users")
	}
	regular := func(path string, mode uint32) error { return os.WriteFile(path, []byte("same"), os.FileMode(mode)) }
	directory := func(path string, mode uint32) error { return unix.Mkdir(path, mode) }
	fifo := func(path string, mode uint32) error { return unix.Mkfifo(path, mode) }
	for name, v := range map[string]struct {
		make  func(path string, mode uint32) error
		flags int
	}{
		"file":            {regular, unix.O_RDONLY},
		"file, written":   {regular, unix.O_RDWR},
		"directory":       {directory, unix.O_RDONLY | unix.O_DIRECTORY},
		"FIFO":            {fifo, unix.O_RDWR},
		"FIFO, read only": {fifo, unix.O_RDONLY | unix.O_NONBLOCK},
	} {
		for _, forced := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", forced), func(t *testing.T) {
				dir, err := os.MkdirTemp("", "lesser") // t.TempDir lets nobody else in
				must(t, err)
				t.Cleanup(func() { os.RemoveAll(dir) })
				must(t, os.Chmod(dir, os.ModeSticky|0o777))
				path, time := filepath.Join(dir, "it"), time.Unix(1e9, 0)
				put := func(owner int, mode uint32) {
					must(t, v.make(path, 0o700))
					must(t, os.Chown(path, owner, owner))
					must(t, os.Chmod(path, os.FileMode(mode)))
					must(t, os.Chtimes(path, time, time))
				}
				put(eve, 0o700)
				f, err := os.OpenFile(path, v.flags, 0)
				must(t, err)
				defer f.Close()
				g, d := ofUser(t, eve, f)
				restart := func() (obstacles string, err error) {
					env := &fd.Env{Force: forced}
					defer env.Close()
					for _, o := range fd.CheckGroup(g, env) {
						obstacles += o.Error()
					}
					made, err := fd.Make(d, env)
					if err == nil {
						made.Close()
					}
					return obstacles, err
				}
				if obstacles, err := restart(); obstacles != "" || err != nil {
					t.Errorf("nothing has changed: %s, %v", obstacles, err)
				}
				must(t, os.Rename(path, path+".old")) // so that its inode number stays in use
				for _, owner := range []int{0, bob} {
					put(owner, 0o700)
					obstacles, err := restart()
					if obstacles == "" || err == nil {
						t.Errorf("user %d gets what is of user %d: %q, %v", eve, owner, obstacles, err)
					}
					must(t, os.RemoveAll(path))
				}
				put(0, 0o777)
				if obstacles, err := restart(); forced && (obstacles != "" || err != nil) {
					t.Errorf("user %d could open it: %s, %v", eve, obstacles, err)
				}
			})
		}
	}
}

// TestReusedInode: a file of another user has the inode number of the removed file, or the same number on another device.
func TestReusedInode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: it restarts processes of other users")
	}
	for name, change := range map[string]func(*image.File){
		"owner":  func(f *image.File) { f.UID = eve },
		"device": func(f *image.File) { f.Device++ },
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "lesser")
			must(t, err)
			t.Cleanup(func() { os.RemoveAll(dir) })
			must(t, os.Chmod(dir, 0o777))
			path := filepath.Join(dir, "it")
			must(t, os.WriteFile(path, []byte("secret"), 0o600))
			f, err := os.Open(path)
			must(t, err)
			defer f.Close()
			g, d := ofUser(t, eve, f)
			var r fd.Regular
			must(t, json.Unmarshal(d.Record, &r))
			change(&r.File)
			d.Record, err = image.MarshalText(&r)
			must(t, err)
			g.Descriptions[0] = d
			check := func() (all string) {
				for _, o := range fd.CheckGroup(g, &fd.Env{}) {
					all += o.Error()
				}
				return all
			}
			if got := check(); !strings.Contains(got, fmt.Sprintf("user %d could not open it", eve)) {
				t.Errorf("obstacles %q", got)
			}
			if name == "device" {
				must(t, os.Chmod(dir, 0o755)) // only root can have put a file there, so the machine has been started again
				if got := check(); got != "" {
					t.Errorf("in root's directory: obstacles %q", got)
				}
			}
		})
	}
}

// TestCopyOfStranger: a file with the size and time of that of the checkpoint is no copy of it if another user has made it.
func TestCopyOfStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: it makes files of other users")
	}
	path := filepath.Join(t.TempDir(), "it")
	put := func(owner int) {
		must(t, os.WriteFile(path, []byte("same"), 0o644))
		must(t, os.Chown(path, owner, owner))
		must(t, os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0)))
	}
	put(0)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	g, _ := ofUser(t, 0, f)
	must(t, os.Rename(path, path+".old"))
	put(0)
	if all := fd.CheckGroup(g, &fd.Env{}); len(all) != 0 {
		t.Errorf("a copy: %v", all)
	}
	must(t, os.Remove(path))
	put(bob)
	if all := fd.CheckGroup(g, &fd.Env{}); len(all) != 1 || !strings.Contains(all[0].Error(), "has been replaced by another file") {
		t.Errorf("a file of user %d: %v", bob, all)
	}
}

// TestQueueOfAnother: the name of eve's message queue is that of another user's queue now. A restart by root does not give it to eve.
func TestQueueOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: it restarts processes of other users")
	}
	f, _ := queue(t, 3)
	must(t, f.Chown(eve, eve))
	g, d := ofUser(t, eve, f)
	restart := func() error {
		env := &fd.Env{}
		env.Know(g)
		defer env.Close()
		made, err := fd.Make(d, env)
		if err == nil {
			made.Close()
		}
		return err
	}
	must(t, restart())
	must(t, f.Chown(bob, bob))
	if err := restart(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("user %d could not open it", eve)) {
		t.Errorf("the queue of user %d: %v", bob, err)
	}
}
