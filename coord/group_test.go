package coord

import (
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// build compiles a program of testdata.
func build(t *testing.T, name string, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	args := append([]string{"-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program, "testdata/" + name + ".c"}, flags...)
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// familyOf lists the live descendants of a process.
func familyOf(pid int) (all []int) {
	for _, child := range childrenOf(pid) {
		if s, err := proc.Read(child, "stat", proc.Stat); err == nil && !s.HasEnded() {
			all = append(append(all, child), familyOf(child)...)
		}
	}
	return all
}

// grown waits until a process has n descendants.
func (p *program) grown(n int) []int {
	p.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // /proc has no event for this
		all := familyOf(p.pid())
		if len(all) == n {
			return all
		}
		if time.Now().After(deadline) {
			p.Fatalf("%d descendants instead of %d", len(all), n)
		}
	}
}

// members opens an image and returns the PIDs of its processes, which are sorted, and the image.
func members(t *testing.T, path string) ([]int, *image.Group) {
	t.Helper()
	img, err := image.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	var pids []int
	for _, p := range img.Group.Processes {
		pids = append(pids, int(p.Pid))
	}
	slices.Sort(pids)
	return pids, img.Group
}

// ends closes the input of a program, and checks that it ends well.
func (p *program) ends() {
	p.Helper()
	p.in.(io.Closer).Close()
	late := time.AfterFunc(20*time.Second, func() { p.Process.Kill() })
	defer late.Stop()
	if err := p.Wait(); err != nil {
		p.Errorf("the program ends with %v", err)
	}
}

// TestTree: the image of a tree has all processes of it, and they run on.
func TestTree(t *testing.T) {
	for name, options := range map[string]Options{"twins": {}, "without twins": {Twin: "never"}} {
		t.Run(name, func(t *testing.T) {
			p := start(t, true, exec.Command(build(t, "tree"), "2", "3"))
			all := append(p.grown(12), p.pid())
			slices.Sort(all)
			options.Pid = p.pid()
			result, err := Checkpoint(options)
			if err != nil {
				t.Fatal(err)
			}
			pids, group := members(t, result.Path)
			if !slices.Equal(pids, all) || int(group.Root) != p.pid() {
				t.Errorf("processes %d of root %d instead of %d", pids, group.Root, all)
			}
			for _, process := range group.Processes {
				s, err := proc.Read(int(process.Pid), "stat", proc.Stat)
				if err != nil {
					t.Fatal(err)
				}
				if int(process.Parent) != s.PPid || process.ExitSignal != 17 || int(process.Session) != s.Session || int(process.ProcessGroup) != s.Pgrp {
					t.Errorf("pid %d: parent %d, exit signal %d, session %d, group %d: want %+v", process.Pid, process.Parent,
						process.ExitSignal, process.Session, process.ProcessGroup, s)
				}
			}
			p.echoes()
			if now := familyOf(p.pid()); len(now) != 12 {
				t.Errorf("%d descendants are left", len(now))
			}
			if strings.Contains(p.log(), "no checkpoint") {
				t.Error(p.log())
			}
			p.ends()
		})
	}
}

// TestTreeKill: with --kill all processes end.
func TestTreeKill(t *testing.T) {
	p := start(t, true, exec.Command(build(t, "tree"), "2", "2"))
	all := p.grown(6)
	if _, err := Checkpoint(Options{Pid: p.pid(), Kill: true}); err != nil {
		t.Fatal(err)
	}
	p.Wait()
	for _, pid := range all {
		if !hasEnded(pid) {
			t.Errorf("pid %d lives", pid)
		}
	}
}

// TestTreeTrigger: the trigger asks the root of a tree for an image of all.
func TestTreeTrigger(t *testing.T) {
	p := start(t, true, exec.Command(build(t, "tree"), "1", "3"))
	p.grown(3)
	p.Process.Signal(unix.SIGUSR2)
	// until the log has a line
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(p.log(), "pid"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing in the log")
		}
	}
	contains(t, p.log(), ": image ")
	pids, _ := members(t, filepath.Join(p.dir, "tree."+strconv.Itoa(p.pid()), "latest"))
	if len(pids) != 4 {
		t.Errorf("processes %d", pids)
	}
	p.ends()
}
