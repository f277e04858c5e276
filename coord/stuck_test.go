package coord

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestHangingFileSystem: the program maps a file of its user's FUSE file system, which answers nothing any more. The checkpoint ends
// within a bound, and names the reason. The program runs on.
func TestHangingFileSystem(t *testing.T) {
	a := newArena(t)
	if fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		t.Skipf("root: no FUSE: %v", err)
	} else {
		unix.Close(fd)
	}
	program, mounted := a.path("hangs"), a.path("alice", "mounted")
	out, err := exec.Command("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, "testdata/hangs.c").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	a.must(os.Mkdir(mounted, 0o700))
	a.must(os.Chown(mounted, alice, alice))
	t.Cleanup(func() { unix.Unmount(mounted, unix.MNT_DETACH) })
	cmd := exec.Command(program, mounted, strconv.Itoa(alice))
	cmd.Env = []string{"CRAK_DIR=" + a.path("alice"), "LD_PRELOAD=" + a.library}
	p := start(t, true, cmd)

	self, err := os.ReadFile("/proc/self/exe")
	a.must(err)
	test := a.path("test")
	a.must(os.WriteFile(test, self, 0o755))
	crak := exec.Command(test)
	crak.Dir = "/"
	crak.Env = []string{environmentPid + "=" + strconv.Itoa(p.pid()), environmentStuck + "=1"}
	crak.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: alice, Gid: alice}}
	timer := time.AfterFunc(30*time.Second, func() { crak.Process.Kill() })
	said, err := crak.CombinedOutput()
	if !timer.Stop() || err != nil {
		t.Errorf("the checkpoint does not end: %v", err)
	}
	contains(t, string(said), "s: a file system that the program uses")
	contains(t, string(said), "no progress: crak has waited for ")
	p.echoes()
	text, _ := os.ReadFile(filepath.Join(a.path("alice"), "crak.log"))
	contains(t, string(text), "no checkpoint: pid "+strconv.Itoa(p.pid())+": no progress")
}
