package fd_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

const own, secret = "the program's own", "what only root may read"

// nameless is a deleted file of the program.
func nameless(t *testing.T) *os.File {
	t.Helper()
	path := t.TempDir() + "/own"
	must(t, os.WriteFile(path, []byte(own), 0o600))
	f := openedAt(t, path, unix.O_RDWR)
	must(t, os.Remove(path))
	return f
}

// baits are descriptors that would harm a writer that opened them again. O_PATH needs no permission to read the file.
func baits(t *testing.T) map[string]*os.File {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/secret", []byte(secret), 0o600))
	must(t, unix.Mkfifo(dir+"/fifo", 0o600))
	return map[string]*os.File{
		"secret": openedAt(t, dir+"/secret", unix.O_PATH),
		"fifo":   openedAt(t, dir+"/fifo", unix.O_PATH),
	}
}

func within(t *testing.T, limit time.Duration, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("not done within %v", limit)
	}
}

// content is the content that a checkpoint saves of a descriptor's file. Other tests have left files open, too.
func (p picture) content(t *testing.T, f *os.File) fd.Content {
	t.Helper()
	var r fd.Regular
	must(t, json.Unmarshal(p.description(t, f).Record, &r))
	all := p.Contents()
	i := slices.IndexFunc(all, func(c fd.Content) bool { return c.Memory == r.Memory })
	if i < 0 {
		t.Fatalf("no content of memory object %d", r.Memory)
	}
	return all[i]
}

func contentOf(c fd.Content) (string, error) {
	source, err := c.Open()
	if err != nil {
		return "", err
	}
	defer source.Close()
	text, err := io.ReadAll(io.NewSectionReader(source, 0, 100))
	return string(text), err
}

// TestSwappedAfterTheLook replaces the object of a descriptor between Look and the opening of the content. The
// checkpoint must not read the other object, nor wait for it.
func TestSwappedAfterTheLook(t *testing.T) {
	for name := range baits(t) {
		t.Run(name, func(t *testing.T) {
			bait := baits(t)[name]
			f := nameless(t)
			p := captured(t, ourselves())
			content := p.content(t, f)
			must(t, unix.Dup3(int(bait.Fd()), int(f.Fd()), unix.O_CLOEXEC))
			within(t, 10*time.Second, func() {
				if text, err := contentOf(content); err == nil || !strings.Contains(err.Error(), "is another file than it was") {
					t.Errorf("content %q, %v", text, err)
				}
			})
		})
	}
}

// TestSwappedAllTheTime swaps descriptors all the time while they are captured. The result must contain only objects
// of the program, and must come in time.
func TestSwappedAllTheTime(t *testing.T) {
	bait := baits(t)
	f := nameless(t)
	kept, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(kept)
	var stop atomic.Bool
	stopped := make(chan struct{})
	number := int(f.Fd())
	go func() {
		defer close(stopped)
		for !stop.Load() {
			for _, from := range []int{int(bait["secret"].Fd()), int(bait["fifo"].Fd()), kept} {
				unix.Dup3(from, number, unix.O_CLOEXEC)
				runtime.Gosched()
			}
		}
	}()
	refused := 0
	within(t, 60*time.Second, func() {
		for range 50 {
			p := captured(t, ourselves())
			for _, c := range p.Contents() {
				if name := p.Memory[c.Memory-1].Name; !strings.HasSuffix(name, "/own") && !strings.HasSuffix(name, "/secret") {
					continue // of another test
				}
				if text, err := contentOf(c); text == secret || err != nil && !strings.Contains(err.Error(), "is another file than it was") {
					t.Errorf("content %q, %v", text, err)
				}
			}
			if strings.Contains(p.obstacleOf(f), "another object takes its place") {
				refused++
			}
		}
	})
	stop.Store(true)
	<-stopped
	t.Logf("seen to be swapped: %d of 50", refused)
}

// TestHandlesChangeNothing checks that the writer changes neither the offset nor the flags that a handle shares with
// the program.
func TestHandlesChangeNothing(t *testing.T) {
	f := nameless(t)
	must(t, second(unix.FcntlInt(f.Fd(), unix.F_SETFL, unix.O_NONBLOCK|unix.O_APPEND)))
	at(t, f, 7)
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	before := shown(t, f)
	p := captured(t, ourselves())
	if text, err := contentOf(p.content(t, f)); err != nil || text != own {
		t.Errorf("content %q, %v", text, err)
	}
	if after := shown(t, f); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// TestContentOfForbiddenFile captures a file that the program has open but whose mode forbids opening it.
func TestContentOfForbiddenFile(t *testing.T) {
	for name, flags := range map[string]int{"readable": unix.O_RDWR, "write only": unix.O_WRONLY} {
		t.Run(name, func(t *testing.T) {
			asUser(t)
			n, err := unix.MemfdCreate("forbidden", unix.MFD_CLOEXEC)
			must(t, err)
			must(t, second(unix.Pwrite(n, []byte(own), 0)))
			f := openedAt(t, fmt.Sprintf("/proc/self/fd/%d", n), flags)
			must(t, unix.Fchmod(n, 0))
			must(t, unix.Close(n))
			at(t, f, 3)
			p := captured(t, ourselves())
			content := p.content(t, f)
			source, err := content.Open()
			if flags == unix.O_WRONLY {
				if err == nil || !strings.Contains(err.Error(), "cannot be read: permission denied") {
					t.Errorf("read all the same: %v", err)
				}
				return
			}
			must(t, err)
			defer source.Close()
			got, err := source.Runs(int64(len(own)))
			if want := (image.Run{Length: image.PageSize}); err != nil || len(got) != 1 || got[0] != want {
				t.Errorf("%v, %v", got, err)
			}
			if text, err := contentOf(content); err != nil || text != own {
				t.Errorf("content %q, %v", text, err)
			}
			if now, _ := f.Seek(0, io.SeekCurrent); now != 3 {
				t.Errorf("the offset has become %d", now)
			}
		})
	}
}

// asUser gives up root's rights over files for the rest of the test. The thread of the test ends with it.
func asUser(t *testing.T) {
	runtime.LockOSThread()
	if os.Geteuid() == 0 {
		must(t, unix.Setfsuid(12345))
		must(t, unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
	}
}
