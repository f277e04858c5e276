package fd_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

func socketPair(t *testing.T, kind int) (*os.File, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	ends := [2]*os.File{os.NewFile(uintptr(fds[0]), "one end"), os.NewFile(uintptr(fds[1]), "other end")}
	t.Cleanup(func() {
		ends[0].Close()
		ends[1].Close()
	})
	return ends[0], ends[1]
}

// TestSocketOfOutsider checks that a socket whose peer is in another process is refused.
func TestSocketOfOutsider(t *testing.T) {
	ours, theirs := socketPair(t, unix.SOCK_STREAM)
	if got := captured(t, ourselves()).obstacleOf(ours); got != "" {
		t.Errorf("obstacle %q while both ends are in the group", got)
	}
	cmd := exec.Command("sleep", "600")
	cmd.ExtraFiles = []*os.File{theirs}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	theirs.Close()
	if got := captured(t, ourselves()).obstacleOf(ours); !strings.Contains(got, "connected to a process outside of the group") {
		t.Errorf("obstacle %q, want one about a process outside", got)
	}
}

// TestUnixRecords checks that damaged records of sockets are errors, and make no socket.
func TestUnixRecords(t *testing.T) {
	for _, text := range []string{
		`{"type":5,"peer":1}`,
		`{"type":1,"peer":7}`,
		`{"type":9}`,
		`{"type":2,"messages":[{"size":-1}]}`,
		`{"type":2,"messages":[{"size":10}]}`,
		`{"type":1,"name":{"path":"a","abstract":"b"}}`,
		`{"type":1,"name":{"abstract":"` + strings.Repeat("x", 200) + `"}}`,
		`{"type":1,"name":{"path":"x","directory":"relative"}}`,
		`{"type":1,"shutdown":4}`,
		`{"type":1,"options":{"sndbuf":[1,2]}}`,
		`{"type":1,"options":{"unknown":[1]}}`,
		`{"type":1,"waiting":[9]}`,
		`{"type":1,"unknown":1}`,
	} {
		env := &fd.Env{}
		env.Know(&image.Group{Objects: []image.Object{{ID: 1, Kind: "unix_socket", Record: json.RawMessage(text)}}})
		f, err := fd.Make(image.Description{ID: 1, Kind: "unix_socket", Object: 1}, env)
		env.Close()
		if err == nil {
			f.Close()
			t.Errorf("%s: made", text)
		}
	}
}
