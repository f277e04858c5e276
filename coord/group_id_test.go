package coord

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

func TestCheckGroup(t *testing.T) {
	for _, name := range []string{"a", "sim-1_x.Y", strings.Repeat("n", longestGroup)} {
		if err := CheckGroup(name); err != nil || validGroup(name) != name {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", strings.Repeat("n", longestGroup+1), "a b", "a/b", "a\n", "ü", "run:1:ab", "a:b"} {
		if CheckGroup(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestRunGroup(t *testing.T) {
	t.Setenv(groupVariable, "")
	first, err := RunGroup(412, "")
	if err != nil || runOf(first) != 412 || validGroup(first) != first {
		t.Fatalf("%q, %v: of run %d", first, err, runOf(first))
	}
	t.Setenv(groupVariable, first) // inside of that run: a new ID
	if second, err := RunGroup(413, ""); err != nil || second == first || runOf(second) != 413 {
		t.Errorf("%q, %v", second, err)
	}
	t.Setenv(groupVariable, "sim")
	if id, err := RunGroup(413, ""); err != nil || id != "sim" {
		t.Errorf("%q, %v", id, err)
	}
	if id, err := RunGroup(413, "other"); err != nil || id != "other" {
		t.Errorf("%q, %v", id, err)
	}
	t.Setenv(groupVariable, "a b")
	if id, err := RunGroup(413, ""); err == nil {
		t.Errorf("%q", id)
	}
	for _, id := range []string{"run:0:ab", "run:-1:ab", "run:x:ab", "run:1:", "run:1:a:b", "run:1", "run:1:" + strings.Repeat("a", longestGroup)} {
		if validGroup(id) != "" {
			t.Errorf("%q is accepted", id)
		}
	}
}

// uniqueGroup is a name that no other test uses.
func uniqueGroup(t *testing.T) string { return fmt.Sprintf("%s-%d", t.Name(), unix.Getpid()) }

// inGroup starts a program in a named group, and waits until it can be checkpointed.
func inGroup(t *testing.T, name string, command ...string) *program {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), groupVariable+"="+name)
	return start(t, true, cmd)
}

// TestGroupOfClaims: a program that overwrites its environment with the name of a group is not a member: its resident does not
// confirm the name.
func TestGroupOfClaims(t *testing.T) {
	name := uniqueGroup(t)
	root := inGroup(t, name, "cat")
	other := inGroup(t, name, "cat")
	impostor := start(t, true, exec.Command(build(t, "claims"), name))
	if id, _, _ := groupOf(impostor.pid()); id != name {
		t.Fatalf("the program claims to be in group %q", id)
	}
	result, err := Checkpoint(Options{Pid: root.pid()})
	if err != nil {
		t.Fatal(err)
	}
	pids, group := members(t, result.Path)
	if len(pids) != 2 || pids[0] != root.pid() || pids[1] != other.pid() || int(group.Root) != root.pid() {
		t.Errorf("members %v, root %d; %d and %d are in the group, %d is not", pids, group.Root, root.pid(), other.pid(), impostor.pid())
	}
	if got := Root(other.pid()); got != other.pid() {
		t.Errorf("root of %d: %d", other.pid(), got)
	}
	for _, p := range []*program{root, other, impostor} {
		p.ends()
	}
}

// TestGroupOfUsers: root names a group in which several users have programs. It gets its own, so that no user can prevent the checkpoint
// by a program with the same name of a group. It does not choose between other users.
func TestGroupOfUsers(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Skip("not root: the programs belong to three users")
	}
	name := uniqueGroup(t)
	theirs := inGroup(t, name, "setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "cat")
	others := inGroup(t, name, "setpriv", "--reuid=12346", "--regid=12346", "--clear-groups", "cat")
	_, err := FindGroup(name)
	if o, ok := errors.AsType[obstacle.Obstacle](err); !ok || !strings.Contains(o.Why, "users 12345, 12346") {
		t.Errorf("%v", err)
	}
	mine := onlyMember(t, name)
	for _, p := range []*program{mine, theirs, others} {
		p.ends()
	}
}

// onlyMember starts a program of this user in a group, and checks that it is the root and the only member.
func onlyMember(t *testing.T, name string) *program {
	t.Helper()
	mine := inGroup(t, name, "cat")
	if root, err := FindGroup(name); err != nil || root != mine.pid() {
		t.Errorf("root of the group: %d, %v; not %d", root, err, mine.pid())
	}
	result, err := Checkpoint(Options{Pid: mine.pid()})
	if err != nil {
		t.Fatal(err)
	}
	if pids, _ := members(t, result.Path); len(pids) != 1 {
		t.Errorf("members %v", pids)
	}
	return mine
}

// TestGroupOfSetuid: an ordinary user executes a set-user-ID program of root with the name of root's group in its environment. It is not a
// member: otherwise the user could prevent each checkpoint of the group.
func TestGroupOfSetuid(t *testing.T) {
	a := newArena(t)
	name := uniqueGroup(t)
	cat, err := exec.LookPath("cat")
	a.must(err)
	content, err := os.ReadFile(cat)
	a.must(err)
	program := a.path("setuid")
	a.must(os.WriteFile(program, content, 0o755))
	a.must(os.Chmod(program, 0o755|os.ModeSetuid))
	theirs := a.start(alice, exec.Command(program), groupVariable+"="+name)
	if status, err := proc.Read(theirs.pid(), "status", proc.Status); err != nil || status.Uid[1] != 0 {
		t.Skipf("set-user-ID has no effect in %s: %v", a.dir, err)
	}
	mine := onlyMember(t, name)
	mine.ends()
	theirs.ends()
}

// TestOrphanMoves: a daemon that descends from no member, and becomes another process all the time, does not escape.
func TestOrphanMoves(t *testing.T) {
	name := uniqueGroup(t)
	dir := t.TempDir()
	cmd := exec.Command(build(t, "moves"))
	cmd.Dir, cmd.Env = dir, []string{groupVariable + "=" + name}
	t.Cleanup(func() { os.WriteFile(filepath.Join(dir, "stop"), nil, 0o600) })
	p := start(t, true, cmd)
	for range 3 {
		result, err := Checkpoint(Options{Pid: p.pid()})
		if err != nil {
			t.Fatal(err)
		}
		if pids, group := members(t, result.Path); len(pids)+len(group.Zombies) < 2 || int(group.Root) != p.pid() {
			t.Errorf("members %v, root %d of %d", pids, group.Root, p.pid())
		}
		p.echoes()
	}
	if _, err := Checkpoint(Options{Pid: p.pid(), Kill: true}); err != nil {
		t.Fatal(err)
	}
	if pid, err := FindGroup(name); err == nil {
		t.Errorf("pid %d is left", pid)
	}
}

// TestLookAgain: a look that sees a PID of no process is unsure, and the next one finds a process that was not in /proc yet when
// the kernel gave out its PID.
func TestLookAgain(t *testing.T) {
	name := uniqueGroup(t)
	p := inGroup(t, name, "cat")
	c := &checkpoint{Options: Options{Pid: p.pid()}}
	c.ids, c.byID, c.user = map[string]bool{name: true}, map[int]bool{}, uint32(os.Geteuid())
	c.newest, c.seen = newestPid(), map[int]bool{}
	if exec.Command("true").Run(); c.newest == newestPid() {
		t.Skip("the kernel does not tell the newest PID (CONFIG_CHECKPOINT_RESTORE)")
	}
	if pids := c.findByID(map[int]bool{}); len(pids) > 0 || !c.unsure {
		t.Errorf("the first look finds %v; unsure: %v", pids, c.unsure)
	}
	if pids := c.findByID(map[int]bool{}); len(pids) != 1 || pids[0] != p.pid() {
		t.Errorf("the second look finds %v, not %d", pids, p.pid())
	}
	p.ends()
}

// TestLooksIntoOwn: a look does not look into a process of another user than the group's. That user could make each read of its environment
// wait. (Here its environment is empty, so that a look into it would have the process looked at again.)
func TestLooksIntoOwn(t *testing.T) {
	a := newArena(t)
	for uid, looks := range map[uint32]bool{bob: false, 0: true} {
		cmd := exec.Command("cat")
		cmd.Env = []string{}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		in, err := cmd.StdinPipe()
		a.must(err)
		a.must(cmd.Start())
		c := &checkpoint{Options: Options{Pid: os.Getpid()}}
		c.ids, c.byID = map[string]bool{uniqueGroup(t): true}, map[int]bool{}
		c.findByID(map[int]bool{})
		if got := slices.Contains(c.open, cmd.Process.Pid); got != looks {
			t.Errorf("process of user %d is looked at again: %v", uid, got)
		}
		in.Close()
		a.must(cmd.Wait())
	}
}
