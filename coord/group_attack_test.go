package coord

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// beside is root's or alice's shell that copies its input, and has another command as a child.
func (a *arena) beside(uid int, command string) *program {
	a.Helper()
	dir := a.path(map[int]string{0: "root", alice: "alice"}[uid])
	cmd := exec.Command("bash", "-c", command+" </dev/null >/dev/null 2>&1 & cat; kill -KILL $!")
	cmd.Dir = dir
	cmd.Env = []string{"CRAK_DIR=" + dir, "LD_PRELOAD=" + a.library, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return start(a.T, true, cmd)
}

// descendant waits until a descendant of a process has a name and an effective user.
func (p *program) descendant(name string, uid uint32) int {
	p.Helper()
	// /proc has no event for this
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, pid := range familyOf(p.pid()) {
			if s, err := proc.Read(pid, "status", proc.Status); err == nil && s.Uid[1] == uid && s.Name == name {
				return pid
			}
		}
	}
	p.Fatalf("no descendant %s of user %d", name, uid)
	return 0
}

// TestMemberInNamespace: a descendant in a namespace that the root of its group is not in is refused by name.
func TestMemberInNamespace(t *testing.T) {
	for kind, flags := range map[string]string{"user": "-U", "mnt": "-Um", "pid": "-Upf --kill-child", "cgroup": "-UC", "time": "-UTf --kill-child"} {
		t.Run(kind, func(t *testing.T) {
			a := newArena(t)
			p := a.beside(alice, "exec unshare "+flags+" sleep 1000")
			p.descendant("sleep", alice)
			path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
			contains(t, stderr, " namespace than pid "+strconv.Itoa(p.pid())+": all members of a group must be in the same")
			if path != "" {
				t.Errorf("image %q", path)
			}
			p.echoes()
			p.ends()
		})
	}
}

// TestHostileMember: the resident of one member of a group lies. There is no image, nobody reads another user's memory, and the
// other members run on. The group is alice's, or that of root's program with a process of alice.
func TestHostileMember(t *testing.T) {
	for uid, command := range map[int]string{
		alice: "exec ",
		0:     fmt.Sprintf("exec setpriv --reuid %d --regid %[1]d --clear-groups ", alice),
	} {
		t.Run(strconv.Itoa(uid), func(t *testing.T) { testHostileMember(t, uid, command) })
	}
}

func testHostileMember(t *testing.T, uid int, command string) {
	for mode, want := range map[string]string{
		"twin":    "is not its twin: its parent is process ",
		"child":   "is not its twin: its exit signal is 17",
		"other":   "is not its twin: it has ",
		"tid":     "its resident lists thread ",
		"pid":     "its resident says that its PID is ",
		"answers": "signal 33 is blocked",
	} {
		t.Run(mode, func(t *testing.T) {
			a := newArena(t)
			a.buildHostile()
			other := a.start(bob, exec.Command("cat"))
			a.must(unix.Mkfifo(a.path("fifo"), 0o666))
			a.must(os.Chmod(a.path("fifo"), 0o666))
			p := a.beside(uid, fmt.Sprintf("LD_PRELOAD= "+command+"bash -c 'exec %s %s %d <>%s'", a.hostile, mode, other.pid(), a.path("fifo")))
			pid := p.descendant("libcrak-hostile", alice)
			path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
			if path != "" {
				t.Errorf("image %s", path)
			}
			contains(t, stderr, want)
			contains(t, stderr, "pid "+strconv.Itoa(pid))
			other.echoes()
			p.echoes()
		})
	}
}
