package fd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// changes are changes of a file of ten bytes after the checkpoint.
var changes = map[string]func(t *testing.T, path string){
	"same": func(*testing.T, string) {},
	"grown": func(t *testing.T, path string) {
		f := openedAt(t, path, unix.O_WRONLY|unix.O_APPEND)
		must(t, second(f.WriteString("more")))
	},
	"shrunk":  func(t *testing.T, path string) { must(t, os.Truncate(path, 5)) },
	"touched": func(t *testing.T, path string) { must(t, os.Chtimes(path, time.Time{}, time.Unix(1, 0))) },
	"copied": func(t *testing.T, path string) {
		st, err := os.Stat(path)
		must(t, err)
		content, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path+".new", content, 0o600))
		must(t, os.Chtimes(path+".new", time.Time{}, st.ModTime()))
		must(t, os.Rename(path+".new", path))
	},
	"replaced": func(t *testing.T, path string) {
		must(t, os.WriteFile(path+".new", []byte("another file"), 0o600))
		must(t, os.Rename(path+".new", path))
	},
	"gone": func(t *testing.T, path string) { must(t, os.Remove(path)) },
	"fifo": func(t *testing.T, path string) {
		must(t, os.Remove(path))
		must(t, unix.Mkfifo(path, 0o600))
	},
	"on a linked path": func(t *testing.T, path string) {
		dir := filepath.Dir(path)
		must(t, os.Rename(dir, dir+".moved"))
		must(t, os.Symlink(dir+".moved", dir))
	},
	"linked": func(t *testing.T, path string) {
		must(t, os.Rename(path, path+".moved"))
		must(t, os.Symlink(path+".moved", path))
	},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestPolicies opens a file that has changed, with every policy. The result is "ok", "notice", or the reason of the
// obstacle.
func TestPolicies(t *testing.T) {
	for _, test := range []struct {
		change, access             string
		keep, rewind, strict, forc string
	}{
		{"same", "read", "ok", "ok", "ok", "ok"},
		{"same", "write", "ok", "ok", "ok", "ok"},
		{"grown", "read", "has grown", "has grown", "has grown", "notice"},
		{"grown", "write", "notice", "in place", "has grown", "notice"},
		{"grown", "append", "notice", "notice", "has grown", "notice"},
		{"grown", "end", "notice", "notice", "has grown", "notice"},
		{"shrunk", "read", "has shrunk", "has shrunk", "has shrunk", "notice"},
		{"shrunk", "write", "has shrunk", "has shrunk", "has shrunk", "notice"},
		{"touched", "read", "modified", "modified", "modified", "notice"},
		{"touched", "write", "notice", "overwritten", "modified", "notice"},
		{"touched", "append", "notice", "overwritten", "modified", "notice"},
		{"copied", "read", "notice", "notice", "is a copy", "notice"},
		{"copied", "write", "notice", "notice", "is a copy", "notice"},
		{"replaced", "read", "replaced", "replaced", "replaced", "notice"},
		{"replaced", "write", "replaced", "replaced", "replaced", "notice"},
		{"gone", "read", "is gone", "is gone", "is gone", "notice"},
		{"gone", "write", "is gone", "is gone", "is gone", "notice"},
		{"fifo", "read", "replaced", "replaced", "replaced", "replaced"},
		{"on a linked path", "read", "symbolic link", "symbolic link", "symbolic link", "symbolic link"},
		{"linked", "read", "replaced", "replaced", "replaced", "replaced"},
	} {
		t.Run(test.change+" "+test.access, func(t *testing.T) {
			flags := map[string]int{"read": unix.O_RDONLY, "write": unix.O_RDWR, "append": unix.O_WRONLY | unix.O_APPEND, "end": unix.O_RDWR}[test.access]
			for _, by := range []struct {
				env  *fd.Env
				want string
			}{
				{&fd.Env{Files: fd.Keep}, test.keep},
				{&fd.Env{Files: fd.Rewind}, test.rewind},
				{&fd.Env{Files: fd.Strict}, test.strict},
				{&fd.Env{Force: true}, test.forc},
			} {
				f := opened(t, flags)
				if test.access == "end" {
					at(t, f, 10)
				}
				d := captured(t, ourselves()).description(t, f)
				changes[test.change](t, f.Name())
				notices := 0
				by.env.Notice = func(s string) {
					notices++
					if !strings.Contains(s, f.Name()) {
						t.Errorf("notice %q does not name the file", s)
					}
				}
				obstacles := fd.Check(d, by.env)
				got, err := fd.Make(d, by.env)
				if (err == nil) != (len(obstacles) == 0) {
					t.Errorf("files %q: Check says %v, Make %v", by.env.Files, obstacles, err)
				}
				outcome := choose(t, notices > 0, "notice", "ok")
				if err != nil {
					outcome = err.Error()
				} else {
					got.Close()
				}
				if !strings.Contains(outcome, by.want) || notices > 1 {
					t.Errorf("files %q: got %q, %d notices, want %q", by.env.Files, outcome, notices, by.want)
				}
			}
		})
	}
}

func TestRewindCutsBackAtCommitOnly(t *testing.T) {
	f := opened(t, unix.O_WRONLY|unix.O_APPEND)
	d := captured(t, ourselves()).description(t, f)
	changes["grown"](t, f.Name())
	env := &fd.Env{Files: fd.Rewind}
	made(t, d, env)
	if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "0123456789more" {
		t.Errorf("before Commit: %q, %v", got, err)
	}
	must(t, env.Commit())
	if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "0123456789" {
		t.Errorf("after Commit: %q, %v", got, err)
	}
	// The file is as it was at the checkpoint: the image can be restarted again, with a stricter policy.
	if got := fd.Check(d, &fd.Env{Files: fd.Strict}); len(got) != 0 {
		t.Errorf("after Commit: %v", got)
	}
}

func TestForceMakesWhatIsGone(t *testing.T) {
	f := opened(t, unix.O_WRONLY)
	d := captured(t, ourselves()).description(t, f)
	must(t, os.Remove(f.Name()))
	got := made(t, d, &fd.Env{Force: true})
	must(t, second(got.WriteString("x")))
	if content, err := os.ReadFile(f.Name()); err != nil || string(content) != "\x00\x00\x00\x00x" {
		t.Errorf("reads %q, %v", content, err)
	}
}

// TestAbandonRemoves checks that a failed restart leaves no new file behind.
func TestAbandonRemoves(t *testing.T) {
	f := opened(t, unix.O_WRONLY)
	d := captured(t, ourselves()).description(t, f)
	must(t, os.Remove(f.Name()))
	env := &fd.Env{Force: true}
	made(t, d, env)
	must(t, exists(f.Name()))
	env.Abandon()
	if err := exists(f.Name()); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func exists(path string) error {
	_, err := os.Lstat(path)
	return err
}

func TestReaderOfAFileThatTheProgramWrites(t *testing.T) {
	f := opened(t, unix.O_RDONLY)
	openedAt(t, f.Name(), unix.O_WRONLY|unix.O_APPEND)
	p := captured(t, ourselves())
	changes["grown"](t, f.Name())
	d := p.description(t, f)
	if got := fd.Check(d, &fd.Env{}); len(got) != 1 {
		t.Errorf("on its own: %v", got)
	}
	env := &fd.Env{}
	if got := fd.CheckGroup(&image.Group{Objects: p.Objects, Memory: p.Memory, Descriptions: p.Descriptions}, env); len(got) != 0 {
		t.Errorf("in its group: %v", got)
	}
	made(t, d, env)
}
