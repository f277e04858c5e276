package coord

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// TestMemberChanges: after the writer has found a member, or just before the freeze, the member changes its user, its session or its
// process group. The image has the member as it is then. If its user changes before the freeze, the freeze begins anew.
func TestMemberChanges(t *testing.T) {
	for _, at := range []string{"lock", "freeze"} {
		t.Run(at, func(t *testing.T) { testMemberChanges(t, at) })
	}
}

func testMemberChanges(t *testing.T, at string) {
	for what, has := range map[string]func(p *image.Process) bool{
		"user":    func(p *image.Process) bool { return p.Threads[0].Credentials.UID[1] == alice },
		"session": func(p *image.Process) bool { return p.Session == p.Pid && p.ProcessGroup == p.Pid },
		"group":   func(p *image.Process) bool { return p.Session != p.Pid && p.ProcessGroup == p.Pid },
	} {
		t.Run(what, func(t *testing.T) {
			if what == "user" && os.Geteuid() != 0 {
				t.Skip("needs root: a member changes its user")
			}
			program := build(t, "changes")
			if err := os.Chmod(filepath.Dir(filepath.Dir(program)), 0o755); err != nil { // the other user executes it, too
				t.Fatal(err)
			}
			p := start(t, true, exec.Command(program, what))
			pid := p.grown(1)[0]
			changed, attempts := false, 0
			r, err := Checkpoint(Options{Pid: p.pid(), phase: func(phase string) {
				if phase == "freeze" {
					attempts++
				}
				if phase == at && !changed {
					changed = true
					unix.Kill(pid, unix.SIGUSR1)
					p.await(pid, what)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			img, err := image.Open(r.Path)
			if err != nil {
				t.Fatal(err)
			}
			for i := range img.Group.Processes {
				if member := &img.Group.Processes[i]; int(member.Pid) == pid && !has(member) {
					t.Errorf("pid %d: user %d, session %d, group %d", pid, member.Threads[0].Credentials.UID[1], member.Session, member.ProcessGroup)
				}
			}
			if (what == "user" && at == "freeze") != (attempts > 1) {
				t.Errorf("frozen %d times", attempts)
			}
			p.echoes()
			p.ends()
		})
	}
}

// await waits until a member has changed. /proc has no event for that.
func (p *program) await(pid int, what string) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		stat, err := proc.Read(pid, "stat", proc.Stat)
		status, err2 := proc.Read(pid, "status", proc.Status)
		changed := map[string]bool{"user": status.Uid[1] == alice, "session": stat.Session == pid, "group": stat.Pgrp == pid}
		if err == nil && err2 == nil && changed[what] {
			return
		}
	}
	p.Error("pid " + strconv.Itoa(pid) + " does not change its " + what)
}
