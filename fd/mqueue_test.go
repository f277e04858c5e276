package fd_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// queue makes a POSIX message queue. The test removes it.
func queue(t *testing.T, messages int64) (f *os.File, name string) {
	t.Helper()
	name = fmt.Sprintf("crak-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
	text, err := unix.BytePtrFromString(name)
	must(t, err)
	limits := [8]int64{1: messages, 2: 16}
	n, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(text)), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600,
		uintptr(unsafe.Pointer(&limits[0])), 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	t.Cleanup(func() { unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(text)), 0, 0) })
	f = os.NewFile(n, name)
	t.Cleanup(func() { f.Close() })
	return f, name
}

// TestMessageQueueRefused checks that a queue is refused if it has a message and another process has it open, and that a restart does not take another
// queue for it.
func TestMessageQueueRefused(t *testing.T) {
	f, name := queue(t, 3)
	p := captured(t, ourselves())
	d := p.description(t, f)
	env := &fd.Env{}
	env.Know(&image.Group{Objects: p.Objects, Descriptions: []image.Description{d}})
	got := made(t, d, env)
	env.Close()
	if diff := cmp.Diff(shown(t, f), shown(t, got)); diff != "" {
		t.Errorf("before and after (-+):\n%s", diff)
	}

	none := []byte{7}
	if _, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, f.Fd(), uintptr(unsafe.Pointer(&none[0])), 1, 9, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	with := captured(t, ourselves())
	object := with.Objects[with.description(t, f).Object-1]
	if !strings.Contains(string(object.Record), `"waiting":[{"size":1,"priority":9}]`) || object.Size != 1 {
		t.Errorf("with a message: %s, %d bytes", object.Record, object.Size)
	}
	cmd := exec.Command("sleep", "600")
	cmd.ExtraFiles = []*os.File{f}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if got := captured(t, ourselves()).obstacleOf(f); !strings.Contains(got, "outside of the program, has it open") {
		t.Errorf("with a message, and open in another process: obstacle %q", got)
	}

	text, err := unix.BytePtrFromString(name)
	must(t, err)
	unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(text)), 0, 0)
	queue(t, 4)
	env = &fd.Env{}
	env.Know(&image.Group{Objects: p.Objects, Descriptions: []image.Description{d}})
	_, err = fd.Make(d, env)
	env.Close()
	if err == nil || !strings.Contains(err.Error(), "had room for 3 of 16 bytes") {
		t.Errorf("another queue has the name: %v", err)
	}
}

// TestMessageQueueChanged checks that a restart takes out messages that came after the checkpoint, but not before it is sure to succeed.
func TestMessageQueueChanged(t *testing.T) {
	f, _ := queue(t, 3)
	p := captured(t, ourselves())
	d := p.description(t, f)
	one := []byte{1}
	if _, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, f.Fd(), uintptr(unsafe.Pointer(&one[0])), 1, 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	env := &fd.Env{}
	env.Know(&image.Group{Objects: p.Objects, Descriptions: []image.Description{d}})
	made(t, d, env)
	env.CloseObjects()
	present := func() (a [8]int64) {
		unix.Syscall(unix.SYS_MQ_GETSETATTR, f.Fd(), 0, uintptr(unsafe.Pointer(&a)))
		return a
	}
	if n := present()[3]; n != 1 {
		t.Errorf("%d messages before the commit, want 1", n)
	}
	must(t, env.Commit())
	env.Close()
	if n := present()[3]; n != 0 {
		t.Errorf("%d messages after the commit, want 0", n)
	}
}

// TestMessageQueueRecords checks that damaged records are errors.
func TestMessageQueueRecords(t *testing.T) {
	for _, text := range []string{
		`{"name":"","messages":1,"size":1,"mode":384}`,
		`{"name":"a/b","messages":1,"size":1,"mode":384}`,
		`{"name":"x","messages":0,"size":1,"mode":384}`,
		`{"name":"x","messages":1,"size":-1,"mode":384}`,
		`{"name":"x","messages":1,"size":1,"mode":384,"unknown":1}`,
		`{"name":"x","messages":1,"size":1,"mode":384,"waiting":[{"size":1}]}`,
		`{"name":"x","messages":1,"size":1,"mode":384,"waiting":[{"size":-1}]}`,
		`{"name":"x","messages":1,"size":1,"mode":384,"waiting":[{"size":0},{"size":0}]}`,
		`{"name":"x","messages":1,"size":1,"mode":384,"waiting":[{"size":0,"priority":32768}]}`,
	} {
		env := &fd.Env{}
		env.Know(&image.Group{Objects: []image.Object{{ID: 1, Kind: "mqueue", Record: []byte(text)}}})
		f, err := fd.Make(image.Description{ID: 1, Kind: "mqueue", Object: 1}, env)
		env.Close()
		if err == nil {
			f.Close()
			t.Errorf("%s: made", text)
		}
	}
}

// TestMessageQueueNotificationRecords checks that damaged records of notifications are errors.
func TestMessageQueueNotificationRecords(t *testing.T) {
	object := image.Object{ID: 1, Kind: "mqueue", Record: []byte(`{"name":"crak-test-none","messages":1,"size":1,"mode":384}`)}
	for _, text := range []string{
		`{}`,
		`{"notify":{}}`,
		`{"notify":{"process":1,"signal":65}}`,
		`{"notify":{"process":1,"how":3}}`,
		`{"notify":{"process":1,"how":1,"value":2}}`,
		`{"notify":{"process":1,"how":2}}`,
		`{"notify":{"process":1,"how":2,"cookie":"AAAA","socket":1}}`,
		`{"notify":{"process":1,"socket":1}}`,
		`{"notify":{"process":1,"unknown":1}}`,
	} {
		env := &fd.Env{}
		env.Know(&image.Group{Objects: []image.Object{object}})
		f, err := fd.Make(image.Description{ID: 1, Kind: "mqueue", Object: 1, Record: []byte(text)}, env)
		env.Abandon()
		env.Close()
		if err == nil {
			f.Close()
			t.Errorf("%s: made", text)
		}
	}
}
