package fd_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

// TestCredentialsOfUsedPid checks that a socket of another user does not become root's for SO_PEERCRED and SO_PEERGROUPS because the PID of
// the process that made it is in use, or because crak cannot choose PIDs.
func TestCredentialsOfUsedPid(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, same := range []bool{true, false} {
		env := &fd.Env{SamePids: same}
		defer env.Close()
		g := &image.Group{}
		for id := range 2 {
			text := fmt.Sprintf(`{"type":1,"peer":%d,"credentials":{"pid":%d,"uid":3000,"gid":3001}}`, 2-id, os.Getpid())
			g.Objects = append(g.Objects, image.Object{ID: image.ObjectID(id + 1), Kind: "unix_socket", Record: json.RawMessage(text)})
		}
		env.Know(g)
		f, err := fd.Make(image.Description{ID: 1, Kind: "unix_socket", Object: 1, Flags: unix.O_RDWR}, env)
		must(t, err)
		defer f.Close()
		got, err := unix.GetsockoptUcred(int(f.Fd()), unix.SOL_SOCKET, unix.SO_PEERCRED)
		must(t, err)
		if got.Uid != 3000 || got.Gid != 3001 {
			t.Errorf("same PIDs %v: UID %d, GID %d", same, got.Uid, got.Gid)
		}
		groups, err := unix.GetsockoptString(int(f.Fd()), unix.SOL_SOCKET, unix.SO_PEERGROUPS)
		if err != nil || groups != "" {
			t.Errorf("same PIDs %v: groups %q: %v", same, groups, err)
		}
	}
}
