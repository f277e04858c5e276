package restore

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/handmade"
)

// TestNumbers: the group needs the numbers of its processes, threads and zombies, and of leaders that have ended, but not those of
// the shell that started it.
func TestNumbers(t *testing.T) {
	const shell, terminal, leader, job = 90, 80, 300, 350
	g := handmade.Group(412, me())
	root := &g.Processes[0]
	root.Session, root.ProcessGroup = terminal, shell
	thread := root.Threads[0]
	thread.Parked.Tid = 420
	root.Threads = append(root.Threads, thread)
	child := handmade.Group(413, me()).Processes[0]
	child.Parent, child.Session, child.ProcessGroup = 412, leader, job
	g.Processes = append(g.Processes, child)
	g.Zombies = []image.Zombie{{Pid: 414, Parent: 413, Session: terminal, ProcessGroup: 415}}
	var have []string
	for _, n := range numbers(g) {
		have = append(have, fmt.Sprint(n.pid, " ", n.use, " of ", n.owner))
	}
	want := []string{"300 session of 413", "350 process group of 413", "412 process of 412", "413 process of 413",
		"414 child that has ended of 413", "415 process group of 414", "420 thread of 412"}
	if d := cmp.Diff(want, have); d != "" {
		t.Error(d)
	}
}

// TestTakenIsNamed: the error says which number is taken, by whom, and which member needs it.
func TestTakenIsNamed(t *testing.T) {
	if mayChoosePids() != nil {
		t.Skip("no capability to choose PIDs")
	}
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	taken := image.Pid(other.Process.Pid)
	for name, take := range map[string]func(g *image.Group){
		"process": func(g *image.Group) { g.Processes[1].Pid, g.Processes[1].Threads[0].Parked.Tid = taken, int32(taken) },
		"session": func(g *image.Group) { g.Processes[1].Session = taken },
		"child that has ended": func(g *image.Group) {
			g.Zombies = []image.Zombie{{Pid: taken, Parent: g.Root, ProcessGroup: g.Root, Session: g.Root}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := aTree(t)
			take(g)
			all := checkKeep(g)
			if len(all) != 1 || !strings.Contains(all[0].Why, fmt.Sprintf("PID %d", taken)) || !strings.Contains(all[0].Why, "is taken by sleep") {
				t.Errorf("%v", all)
			}
		})
	}
	if g := aTree(t); len(checkKeep(g)) != 0 {
		t.Errorf("free: %v", checkKeep(g))
	}
}

// TestTakenGroup: the number of a process group is taken although its leader has ended.
func TestTakenGroup(t *testing.T) {
	if mayChoosePids() != nil {
		t.Skip("no capability to choose PIDs")
	}
	leader := exec.Command("sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
	leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := leader.Output()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Kill(-leader.Process.Pid, unix.SIGKILL)
	g := aTree(t)
	g.Processes[1].ProcessGroup = image.Pid(leader.Process.Pid)
	all := checkKeep(g)
	if len(all) != 1 || !strings.HasSuffix(all[0].Why, "by a process group or a session") {
		t.Errorf("%s: %v", out, all)
	}
}

// TestTakenByZombie: the reason names the parent that has not waited for a process that has ended. If the parent does something else,
// and has no handler for SIGCHLD, crak says so at once.
func TestTakenByZombie(t *testing.T) {
	parent := exec.Command("sh", "-c", "sleep 0.2 & echo $!; exec sleep 60")
	out, err := parent.StdoutPipe()
	if err == nil {
		err = parent.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { parent.Process.Kill(); parent.Wait() }()
	var zombie int
	if _, err := fmt.Fscan(out, &zombie); err != nil {
		t.Fatal(err)
	}
	is := func(pid int, state byte) bool {
		stat, err := proc.Read(pid, "stat", proc.Stat)
		return err == nil && stat.Comm == "sleep" && stat.State == state
	}
	for deadline := time.Now().Add(10 * time.Second); !is(parent.Process.Pid, 'S') || !is(zombie, 'Z'); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) { // no event tells of another process's sleep
			t.Fatal("no zombie")
		}
	}
	begun := time.Now()
	deadline := begun.Add(time.Hour)
	if !isTaken(zombie, &deadline) || time.Since(begun) > handlerTimeout {
		t.Errorf("after %v", time.Since(begun))
	}
	want := fmt.Sprintf(", which has ended, and for which its parent, pid %d (sleep), has not waited", parent.Process.Pid)
	if got := taker(zombie); !strings.Contains(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestZombieOfWaiter: crak waits for a zombie whose parent waits a moment later.
func TestZombieOfWaiter(t *testing.T) {
	cmd := exec.Command("/bin/true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(handlerTimeout/10, func() { cmd.Wait() })
	deadline := time.Now().Add(time.Hour)
	if isTaken(cmd.Process.Pid, &deadline) {
		t.Error("taken")
	}
}
