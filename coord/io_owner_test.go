package coord

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/rights"
)

// TestOwnerOfNoMember: bob has set who gets the I/O signals of a description of root's program, and no process of bob has it open. A restart by
// root would set the owner with root's rights. So the checkpoint is refused. If root has set the owner, there is an image.
func TestOwnerOfNoMember(t *testing.T) {
	for _, uid := range []uint32{bob, 0} {
		t.Run(strconv.Itoa(int(uid)), func(t *testing.T) {
			a := newArena(t)
			file, err := os.Create(a.path("root", "file"))
			a.must(err)
			defer file.Close()
			user := rights.User{UID: [3]uint32{uid, uid, uid}, GID: [3]uint32{uid, uid, uid}}
			a.must(user.Do(func() error {
				_, err := unix.FcntlInt(file.Fd(), unix.F_SETOWN, os.Getpid())
				return err
			}))
			cmd := exec.Command("cat")
			cmd.Dir = a.path("root")
			cmd.ExtraFiles = []*os.File{file}
			p := start(t, true, cmd)
			image, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
			if uid == 0 {
				if image == "" {
					t.Error(stderr)
				}
				return
			}
			if image != "" {
				t.Errorf("image %s", image)
			}
			contains(t, stderr, fmt.Sprintf("pid %d fd 3", p.pid()))
			contains(t, stderr, fmt.Sprintf("user %d has set who gets its I/O signals", bob))
			p.leftAlone()
		})
	}
}
