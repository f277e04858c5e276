package restore

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/restore/handmade"
)

// lingers is code that tells crak that the program runs, and then waits for signals.
//
// It returns from a signal handler before, as a resident does. The frame is at the start of its stack.
var lingers = append(slices.Clone(says[:len(says)-12]),
	0x48, 0x81, 0xec, 0, 4, 0, 0, // sub $1024, %rsp
	0x48, 0x8d, 0x05, 37, 0, 0, 0, // lea pause(%rip), %rax
	0x48, 0x89, 0x84, 0x24, 168, 0, 0, 0, // mov %rax, 168(%rsp): rip in the ucontext_t
	0x66, 0xc7, 0x84, 0x24, 184, 0, 0, 0, 0x33, 0, // movw $0x33, 184(%rsp): cs
	0x48, 0xc7, 0x84, 0x24, 0x28, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, // movq $-1, 296(%rsp): uc_sigmask
	0xb8, 15, 0, 0, 0, // mov $15, %eax: rt_sigreturn
	0x0f, 0x05, // syscall
	0xb8, 34, 0, 0, 0, // pause: mov $34, %eax
	0x0f, 0x05, // syscall
	0xeb, 0xf7, // again
)

// A relative is what /proc shows about a process of a family. Its numbers are those of the family's own PID namespace.
type relative struct {
	Seen                   int // in our PID namespace
	Parent, Session, Group int
	State                  byte
	ExitSignal, ExitCode   int
	Pending                uint64
	ChildTime              int64
}

// relatives returns the processes of a family, which descend from us, by PID.
func relatives(t *testing.T) map[int]relative {
	t.Helper()
	all, inner := make(map[int]relative), make(map[int]int)
	paths, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range paths {
		seen, _ := strconv.Atoi(filepath.Base(path))
		stat, err := proc.Read(seen, "stat", proc.Stat)
		if err != nil || stat.Comm != "handmade" && stat.Comm != "ended" || !isOurs(stat.PPid) {
			continue
		}
		status, err := proc.Read(seen, "status", proc.Status)
		if err != nil {
			continue
		}
		numbers := lastNumbers(t, seen)
		inner[seen] = numbers["NSpid"]
		all[inner[seen]] = relative{Seen: seen, Parent: stat.PPid, Session: numbers["NSsid"], Group: numbers["NSpgid"], State: stat.State,
			ExitSignal: stat.ExitSignal, ExitCode: stat.ExitCode, Pending: status.SigPnd | status.ShdPnd,
			ChildTime: stat.ChildUtime + stat.ChildStime}
		if r := all[inner[seen]]; r.State == 'Z' { // the signal that killed it is still pending
			r.Pending = 0
			all[inner[seen]] = r
		}
	}
	for pid, r := range all {
		r.Parent = inner[r.Parent] // 0: outside
		if r.Parent == 0 && r.State == 'T' {
			r.ExitCode = 0 // crak may have waited for the stop already
		}
		all[pid] = r
	}
	return all
}

// isOurs tells whether a process is this one or descends from it.
func isOurs(pid int) bool {
	for pid > 1 && pid != os.Getpid() {
		stat, err := proc.Read(pid, "stat", proc.Stat)
		if err != nil {
			return false
		}
		pid = stat.PPid
	}
	return pid == os.Getpid()
}

// lastNumbers returns the last number of each NS line of /proc/PID/status.
func lastNumbers(t *testing.T, pid int) map[string]int {
	text, _ := os.ReadFile(proc.Path(pid, "status"))
	numbers := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		if name, values, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(name, "NS") {
			all := strings.Fields(values)
			numbers[name], _ = strconv.Atoi(all[len(all)-1])
		}
	}
	return numbers
}

// wanted returns what a family must look like.
func wanted(g *image.Group) map[int]relative {
	all := make(map[int]relative)
	known := make(map[image.Pid]bool)
	for i := range g.Processes {
		known[g.Processes[i].Pid] = true
	}
	add := func(pid, parent, session, group image.Pid, state byte, signal, code int) {
		switch {
		case known[parent]:
		case g.Root == 1 && pid != 1: // process 1 of the PID namespace has all orphans
			parent = 1
		default:
			parent = 0
		}
		if session == g.Processes[0].Session && session != g.Root {
			session = 0 // ours
		}
		if group == g.Processes[0].ProcessGroup {
			group = g.Root
		}
		if parent == 0 && state == 'T' {
			code = 0
		}
		all[int(pid)] = relative{Parent: int(parent), Session: int(session), Group: int(group), State: state, ExitSignal: signal, ExitCode: code}
	}
	for _, p := range g.Processes {
		state := byte('S')
		if p.StoppedBy != 0 {
			state = 'T'
		}
		add(p.Pid, p.Parent, p.Session, p.ProcessGroup, state, p.ExitSignal, p.StoppedBy)
	}
	for _, z := range g.Zombies {
		add(z.Pid, z.Parent, z.Session, z.ProcessGroup, 'Z', z.ExitSignal, int(z.Status))
	}
	return all
}

// TestDeathSignal: a restored process gets its parent-death signal when its parent ends, and not before.
func TestDeathSignal(t *testing.T) {
	for _, mode := range modes(t) {
		t.Run(string(mode), func(t *testing.T) {
			first := aPid(t)
			runFamily(t, first, handmade.Families["death_signal"], mode)
			all := relatives(t)
			b, c, e := int(handmade.Number(first, "B")), int(handmade.Number(first, "C")), int(handmade.Number(first, "E"))
			unix.Kill(all[b].Seen, unix.SIGKILL)
			deadline := time.Now().Add(5 * time.Second)
			for isAlive(all[c].Seen) { // not a child of this process, which could wait for it
				if time.Now().After(deadline) {
					t.Fatal("the child has not got its parent-death signal")
				}
				time.Sleep(time.Millisecond)
			}
			if !isAlive(all[e].Seen) {
				t.Error("a child without the signal has ended, too")
			}
			unix.Kill(all[e].Seen, unix.SIGKILL) // it is not our descendant now
		})
	}
}

// TestStoppedRoot: a root and an orphan that were stopped come back stopped.
func TestStoppedRoot(t *testing.T) {
	for _, mode := range modes(t) {
		t.Run(string(mode), func(t *testing.T) {
			runFamily(t, aPid(t), "A J A A stopped\nB A A A\nC J A A stopped", mode)
		})
	}
}

// TestMemberCredentials: each member and each zombie has its own IDs, and its own limit of processes, which is too low for its
// children.
func TestMemberCredentials(t *testing.T) {
	if mayChoosePids() != nil || os.Geteuid() != 0 {
		t.Skip("not root: the members have IDs of several users")
	}
	first := aPid(t)
	g, err := handmade.Family(first, me(), "A J A A\nB A A A\nC B A A\nD B A A exit=256\nE B A A")
	if err != nil {
		t.Fatal(err)
	}
	const user = 54321
	for _, i := range []int{1, 2} { // B and C
		c := &g.Processes[i].Threads[0].Credentials
		c.UID, c.GID = [4]uint32{user, user, user, user}, [4]uint32{user, user, user, user}
		g.Processes[i].Limits = []image.Limit{{Resource: unix.RLIMIT_NPROC, Soft: 1, Hard: 1}}
	}
	g.Processes[1].Umask, g.Processes[1].Cwd = 0o77, "/usr"
	g.Zombies[0].UID = user
	runImage(t, g, writeImage(t, g, lingers), PidsKeep)
	all := relatives(t)
	for name, want := range map[string]uint32{"A": 0, "B": user, "C": user, "D": user, "E": 0} {
		status, err := proc.Read(all[int(handmade.Number(first, name))].Seen, "status", proc.Status)
		if err != nil || status.Uid[0] != want {
			t.Errorf("%s: user %d, want %d (%v)", name, status.Uid[0], want, err)
		}
	}
	b := all[int(handmade.Number(first, "B"))].Seen
	if cwd, err := os.Readlink(proc.Path(b, "cwd")); cwd != "/usr" {
		t.Errorf("B: directory %q (%v)", cwd, err)
	}
}

func isAlive(pid int) bool {
	stat, err := proc.Read(pid, "stat", proc.Stat)
	return err == nil && stat.State != 'Z'
}

// TestFamily restarts families, and compares them with what they were.
func TestFamily(t *testing.T) {
	for _, mode := range modes(t) {
		for _, name := range slices.Sorted(maps.Keys(handmade.Families)) {
			t.Run(string(mode)+"/"+name, func(t *testing.T) { runFamily(t, aPid(t), handmade.Families[name], mode) })
			if mode == PidsFresh {
				t.Run("first/"+name, func(t *testing.T) { runFamily(t, 1, handmade.Families[name], mode) })
			}
		}
	}
}

// runFamily restarts a family of hand-made processes.
func runFamily(t *testing.T, first image.Pid, lines string, mode PidMode) {
	t.Helper()
	g, err := handmade.Family(first, me(), lines)
	if err != nil {
		t.Fatal(err)
	}
	runImage(t, g, writeImage(t, g, lingers), mode)
}

// runImage restarts an image of a family, and waits until the family is what it was. It is killed at the end of the test.
func runImage(t *testing.T, g *image.Group, path string, mode PidMode) {
	t.Helper()
	started, ended := make(chan int, 1), make(chan error, 1)
	go func() {
		_, err := Run(context.Background(), Options{Image: path, Pids: mode, Files: fd.Keep, Notice: func(text string) { t.Log(text) },
			Started: func(pid int) { started <- pid }})
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Fatal(err)
	case <-started:
	case <-time.After(20 * time.Second):
		t.Fatal("it does not start")
	}
	t.Cleanup(func() {
		killAll(t)
		<-ended
		for _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err == nil; _, err = unix.Wait4(-1, nil, unix.WNOHANG, nil) {
		}
	})
	want := wanted(g)
	outer := lastNumbers(t, os.Getpid())["NSsid"]
	deadline := time.Now().Add(5 * time.Second)
	for {
		got := relatives(t)
		for pid, r := range got {
			if r.Session == outer {
				r.Session = 0
			}
			r.Seen = 0
			got[pid] = r
		}
		if maps.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) { // it may need a moment from "runs" to pause
			t.Fatalf("got\n%s\nwant\n%s", listed(got), listed(want))
		}
		time.Sleep(5 * time.Millisecond) // /proc has no event for this
	}
}

func listed(all map[int]relative) string {
	var text strings.Builder
	for _, pid := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%d: %+v\n", pid, all[pid])
	}
	return text.String()
}

// killAll kills the processes of a family.
func killAll(t *testing.T) {
	all := relatives(t)
	for _, r := range all {
		unix.Kill(r.Seen, unix.SIGKILL)
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, r := range all {
		for isAlive(r.Seen) { // they are not all children of this process, which could wait for them
			if time.Now().After(deadline) {
				t.Fatalf("pid %d has been killed, and has not ended", r.Seen)
			}
			time.Sleep(time.Millisecond)
		}
	}
}
