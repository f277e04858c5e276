package coord

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// becomes is the command that executes another one as a user.
func becomes(uid int) string {
	return fmt.Sprintf("exec setpriv --reuid %d --regid %[1]d --clear-groups ", uid)
}

// TestMembersOfUsers: a program of root has a descendant of another user, and is asked for a checkpoint by crak and by the trigger.
// The image belongs to root.
func TestMembersOfUsers(t *testing.T) {
	a := newArena(t)
	p := a.beside(0, becomes(alice)+"sleep 1000")
	p.descendant("sleep", alice)
	path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
	if !strings.HasPrefix(path, "/") {
		t.Fatalf("no image: %s", stderr)
	}
	a.belongs(a.path("root"), 0)
	p.Process.Signal(unix.SIGUSR2)
	log, text := filepath.Join(a.path("root"), "crak.log"), ""
	// the log has no event
	for deadline := time.Now().Add(20 * time.Second); strings.Count(text, "\n") < 2 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		content, _ := os.ReadFile(log)
		text = string(content)
	}
	contains(t, text, "/2 (pause ")
	p.echoes()
	p.ends()
}

// TestMemberOfAnotherUser: crak names a descendant of another user, if the root of the group does not have root's rights.
func TestMemberOfAnotherUser(t *testing.T) {
	for name, c := range map[string]struct{ root, want string }{
		"user":       {becomes(alice), fmt.Sprintf("the root of the group, belongs to user %d: only a program of root", alice)},
		"capability": {"exec setpriv --bounding-set=-sys_ptrace --inh-caps=-all ", "crak and the root of the group need CAP_SETUID, CAP_SETGID and CAP_SYS_PTRACE"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArena(t)
			cmd := exec.Command("bash", "-c", "("+becomes(bob)+"sleep 1000) </dev/null >/dev/null 2>&1 & "+c.root+"bash -c 'cat; kill -KILL '$!")
			cmd.Env = []string{"CRAK_DIR=" + a.path("root"), "LD_PRELOAD=" + a.library, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
			p := start(t, true, cmd)
			pid := p.descendant("sleep", bob)
			path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
			contains(t, stderr, fmt.Sprintf("pid %d: process of user %d: ", pid, bob))
			contains(t, stderr, c.want)
			if path != "" {
				t.Errorf("image %q", path)
			}
			p.echoes()
			unix.Kill(pid, unix.SIGKILL) // its parent may not
		})
	}
}
