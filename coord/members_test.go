package coord

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// tree is testdata/tree.c with one generation of n children.
func tree(t *testing.T, n int) (*program, []int) {
	t.Helper()
	p := start(t, true, exec.Command(build(t, "tree"), "1", strconv.Itoa(n)))
	return p, p.grown(n)
}

// runsOn checks that the root and its descendants run: none is frozen, and none has a twin.
func (p *program) runsOn(pids []int) {
	p.Helper()
	p.echoes()
	for _, pid := range pids {
		runs(p.T, pid)
		noTwin(p.T, pid)
	}
}

// runs checks that a process gets processor time.
func runs(t *testing.T, pid int) {
	t.Helper()
	before := switches(pid, pid)
	// /proc has no event for this
	for deadline := time.Now().Add(10 * time.Second); switches(pid, pid) == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("pid %d does not run", pid)
		}
	}
}

// TestMemberRefused: an obstacle in a descendant names it, and nobody is stopped.
func TestMemberRefused(t *testing.T) {
	static, fifo := build(t, "storm", "-static"), filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		command string
		what    string
	}{
		"static":      {static + " '' x <>" + fifo, "statically linked program"},
		"no library":  {"env -i sleep 1000", "no resident"},
		"environment": {"LD_PRELOAD= sleep 1000", "no resident"},
		"setgid":      {setgid(t), "setuid or setgid program"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.command == "" {
				t.Skip("needs root, and a file system that is not mounted nosuid")
			}
			p := start(t, true, exec.Command("bash", "-c", "exec 3>&1 >/dev/null; "+test.command+" 3>&- & exec >&3 3>&-; cat; kill -KILL $!"))
			pid := p.grown(2)[0]
			_, err := Checkpoint(Options{Pid: p.pid()})
			list := obstaclesOf(t, err)
			if o := list[0]; o.Pid != pid || !strings.Contains(o.What, test.what) {
				t.Errorf("obstacle %+v of pid %d", o, pid)
			}
			p.echoes()
			p.ends()
		})
	}
}

// setgid returns the command of a setgid program that sleeps, or "" if it cannot be made.
func setgid(t *testing.T) string {
	t.Helper()
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sleep")
	var st unix.Statfs_t
	if err := cmp.Or(os.WriteFile(file, sleep, 0o755), unix.Statfs(file, &st)); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 || st.Flags&unix.ST_NOSUID != 0 {
		return ""
	}
	if err := cmp.Or(os.Chown(file, 0, 65534), os.Chmod(file, 0o755|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	return file + " 1000"
}

// TestMemberTraced: a member that is traced is refused by name.
func TestMemberTraced(t *testing.T) {
	p, pids := tree(t, 2)
	detach := trace(t, pids[1])
	_, err := Checkpoint(Options{Pid: p.pid()})
	if o := only(t, err); o.Pid != pids[1] || !strings.Contains(o.What, "traced by pid ") {
		t.Errorf("obstacle %+v", o)
	}
	detach()
	p.runsOn(pids)
	p.ends()
}

// TestMemberEnds: a member that ends and was not waited for is a zombie in the image.
func TestMemberEnds(t *testing.T) {
	p, pids := tree(t, 3)
	process, err := unix.PidfdOpen(pids[1], 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(process)
	unix.Kill(pids[1], unix.SIGKILL)
	if wait(process, unix.POLLIN, timeoutExit) == 0 {
		t.Fatal("the member has not ended")
	}
	result, err := Checkpoint(Options{Pid: p.pid()})
	if err != nil {
		t.Fatal(err)
	}
	got, group := members(t, result.Path)
	if len(got) != 3 || len(group.Zombies) != 1 {
		t.Fatalf("processes %d, zombies %+v", got, group.Zombies)
	}
	z := group.Zombies[0]
	want := image.Zombie{Pid: image.Pid(pids[1]), Parent: group.Root, ProcessGroup: group.Processes[0].ProcessGroup,
		Session: group.Processes[0].Session, ExitSignal: int(unix.SIGCHLD), Comm: "tree", Status: uint32(unix.SIGKILL),
		UID: group.Processes[0].Threads[0].Credentials.UID[0], UserUs: z.UserUs, SystemUs: z.SystemUs}
	if z != want {
		t.Errorf("zombie %+v instead of %+v", z, want)
	}
}

// TestMemberGone: a member that writes to a file through a shared mapping ends when it runs on, before the image is complete.
func TestMemberGone(t *testing.T) {
	p := start(t, true, exec.Command(build(t, "maps"), filepath.Join(t.TempDir(), "mapped")))
	pid := p.grown(1)[0]
	result, err := Checkpoint(Options{Pid: p.pid(), Compress: "none", phase: func(phase string) {
		if phase != "twins" { // the members run
			return
		}
		unix.Kill(pid, unix.SIGKILL)
		for deadline := time.Now().Add(timeoutExit); ; time.Sleep(time.Millisecond) { // no event tells when the kernel has reaped it
			if _, err := os.Stat(proc.Path(pid, "stat")); err != nil {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("pid %d is still there", pid)
				return
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := members(t, result.Path); len(got) != 2 {
		t.Errorf("processes %d", got)
	}
	p.echoes()
	p.ends()
}

// TestMemberKilled: members are killed while the checkpoint is made. There is an image, or an error that names the member. The
// others run on.
func TestMemberKilled(t *testing.T) {
	p, pids := tree(t, 16)
	made := 0
	for i, pid := range pids[:12] {
		done := make(chan error, 1)
		var result *Result
		go func() {
			var err error
			result, err = Checkpoint(Options{Pid: p.pid(), Compress: "none", Output: filepath.Join(p.dir, strconv.Itoa(i))})
			done <- err
		}()
		time.Sleep(time.Duration(i) * time.Millisecond) // another moment of the checkpoint each time
		unix.Kill(pid, unix.SIGKILL)
		if err := <-done; err != nil {
			contains(t, err.Error(), "pid "+strconv.Itoa(pid))
		} else {
			made++
			got, group := members(t, result.Path)
			if len(got)+len(group.Zombies) != 17 {
				t.Errorf("%d processes and %d zombies", len(got), len(group.Zombies))
			}
		}
		p.runsOn(pids[i+1:])
	}
	t.Logf("%d images", made)
}

// TestWriterKilled: the writer is killed at many moments. All members run on.
func TestWriterKilled(t *testing.T) {
	p, pids := tree(t, 4)
	crak, err := filepath.Abs("../build/crak")
	if err != nil {
		t.Fatal(err)
	}
	frozen := 0
	for try := range 30 {
		cmd := exec.Command(crak, "checkpoint", strconv.Itoa(p.pid()))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if try%2 == 0 {
			p.awaitFreeze(time.Duration(try/6) * time.Millisecond)
		} else {
			time.Sleep(time.Duration(try) * time.Millisecond) // another moment of the checkpoint each time
		}
		if p.inHandler() {
			frozen++
		}
		cmd.Process.Kill()
		cmd.Wait()
		p.echoes()
		for _, pid := range pids {
			runs(t, pid)
		}
	}
	t.Logf("killed under the freeze %d times", frozen)
	if frozen == 0 {
		t.Error("the writer was never killed under the freeze")
	}
	// /proc has no event for this
	for deadline := time.Now().Add(10 * time.Second); len(familyOf(p.pid())) > len(pids); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("processes %d are left", familyOf(p.pid()))
		}
	}
	p.echoes()
	for _, pid := range pids {
		runs(t, pid)
		noTwin(t, pid) // a resident may make a twin when the writer has ended, because the writer's last request has come before
	}
	p.ends()
}

// TestTwoWriters: three writers at once, for the group and for one of its members. One that does not get all locks ends: busy. Each
// succeeds after some tries.
func TestTwoWriters(t *testing.T) {
	p := start(t, true, exec.Command(build(t, "tree"), "2", "2"))
	p.grown(6)
	child := childrenOf(p.pid())[0]
	var all sync.WaitGroup
	for writer, pid := range []int{p.pid(), child, child} {
		all.Go(func() {
			made, tries := 0, 0
			enough, deadline := time.Now().Add(30*time.Second), time.Now().Add(3*time.Minute)
			for ; made == 0 && time.Now().Before(deadline) || made < 3 && time.Now().Before(enough); tries++ {
				_, err := Checkpoint(Options{Pid: pid, Compress: "none", Output: filepath.Join(p.dir, fmt.Sprint(writer, ".", tries))})
				if err == nil {
					made++
				} else if !errors.Is(err, ErrBusy) {
					t.Errorf("writer %d: %v", writer, err)
				}
			}
			if t.Logf("writer %d: %d images in %d tries", writer, made, tries); made == 0 {
				t.Errorf("writer %d made no image", writer)
			}
		})
	}
	all.Wait()
	p.echoes()
	p.ends()
}

// TestMemberWithoutTwin: RLIMIT_NPROC keeps one member from forking. Nobody has a twin then, and with --twin=need there is no
// image.
func TestMemberWithoutTwin(t *testing.T) {
	a := newArena(t)
	program := build(t, "tree")
	out, err := exec.Command("cp", program, a.path("tree")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	p := a.start(alice, exec.Command(a.path("tree"), "1", "3"))
	pids := p.grown(3)
	limit := exec.Command("prlimit", "--nproc=1", "--pid", strconv.Itoa(pids[1]))
	limit.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: alice, Gid: alice}}
	if out, err := limit.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	_, stderr := a.crak("checkpoint", "--twin=need", strconv.Itoa(p.pid()))
	contains(t, stderr, "pid "+strconv.Itoa(pids[1])+": no twin: the program could not fork: ")
	p.runsOn(pids)
	path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
	contains(t, stderr, "the program was frozen until its memory was written: pid "+strconv.Itoa(pids[1])+": the program could not fork")
	if !strings.HasPrefix(path, "/") {
		t.Errorf("image %q: %s", path, stderr)
	}
	p.runsOn(pids)
	p.ends()
}

// TestReusedPid: after a look has found a process, another process gets its PID. It is no member.
func TestReusedPid(t *testing.T) {
	root := start(t, true, exec.Command("bash", "-c", "cat & cat; wait"))
	c := newCheckpoint(Options{Pid: root.pid()})
	rights, err := certainRightsOf(root.pid())
	if err != nil {
		t.Fatal(err)
	}
	c.group, c.atOnce = &rights, 1
	m, err := c.newMember(root.pid())
	if err != nil {
		t.Fatal(err)
	}
	c.members = []*member{m}
	defer c.close()
	found, _ := c.look()
	if len(found) == 0 {
		t.Fatal("no child")
	}
	for pid := range c.starts {
		c.starts[pid]--
	}
	if fresh, err := c.admit(found); err != nil || len(fresh) > 0 {
		t.Errorf("%d members, %v", len(fresh), err)
	}
	found, _ = c.look()
	if fresh, err := c.admit(found); err != nil || len(fresh) != len(found) {
		t.Errorf("%d members of %d, %v", len(fresh), len(found), err)
	}
}
