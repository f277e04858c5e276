package fd_test

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

func terminalOf(t *testing.T, d image.Description) (r fd.Terminal) {
	t.Helper()
	if d.Kind != "terminal" {
		t.Fatalf("description %d: kind %q", d.ID, d.Kind)
	}
	must(t, json.Unmarshal(d.Record, &r))
	return r
}

// TestTerminalOfGroup checks that members can have the root's terminal, and that any other is refused, also as /dev/tty.
func TestTerminalOfGroup(t *testing.T) {
	_, slave := pty(t)
	_, other := pty(t)
	root, stranger := fork(t, slave), fork(t, slave, other)
	for member, number := range map[*forked]uint64{root: inheritedFrom, stranger: inheritedFrom + 1} {
		member.call(unix.SYS_SETSID)
		member.call(unix.SYS_IOCTL, number, unix.TIOCSCTTY, 0)
	}
	own := root.open("/dev/tty", unix.O_RDWR)
	foreign := stranger.open("/dev/tty", unix.O_RDWR)
	p := capturedGroup(t, root, stranger)
	one := p.at(t, 0, inheritedFrom)
	if p.at(t, 1, inheritedFrom).ID != one.ID {
		t.Error("one description is recorded twice")
	}
	if r := terminalOf(t, one); !r.Controlling || !r.Foreground || r.Standard != -1 {
		t.Errorf("recorded as %+v", r)
	}
	if r := terminalOf(t, p.at(t, 0, own)); !r.Controlling || r.Path != "/dev/tty" {
		t.Errorf("/dev/tty recorded as %+v", r)
	}
	refused := map[string]bool{"fd " + strconv.Itoa(inheritedFrom+1): true, "fd " + strconv.Itoa(foreign): true}
	for _, o := range p.Obstacles {
		if o.Pid != stranger.pid || !refused[o.Where] || !strings.Contains(o.Error(), "neither the controlling terminal of the group's root") {
			t.Errorf("obstacle: %v", o)
		}
		delete(refused, o.Where)
	}
	if len(refused) > 0 {
		t.Errorf("not refused: %v", refused)
	}
}

// TestForegroundGroup captures a shell with a job in the foreground.
func TestForegroundGroup(t *testing.T) {
	_, slave := pty(t)
	cmd := exec.Command("sh", "-m", "-c", "sleep 100; true")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, cmd.Start())
	shell := cmd.Process.Pid
	job := 0
	t.Cleanup(func() {
		if job > 0 {
			unix.Kill(job, unix.SIGKILL)
		}
		cmd.Process.Kill()
		cmd.Wait()
	})
	for begun := time.Now(); job == 0; time.Sleep(time.Millisecond) { // /proc has no event for this
		stat, err := proc.Read(shell, "stat", proc.Stat)
		must(t, err)
		if stat.Tpgid > 0 && stat.Tpgid != stat.Pgrp {
			job = stat.Tpgid
		}
		if time.Since(begun) > 10*time.Second {
			t.Fatal("no job in the foreground")
		}
	}
	var table fd.Table
	var looked []*fd.Descriptors
	for _, pid := range []int{shell, job} {
		d, err := fd.Look(&fd.Member{Pid: pid, Inside: pid, Proc: "/proc/" + strconv.Itoa(pid), Seen: &table.Seen})
		must(t, err)
		looked = append(looked, d)
	}
	descriptors, err := fd.CaptureGroup(looked, &table)
	must(t, err)
	if len(descriptors[1]) == 0 || descriptors[1][0].Fd != 0 {
		t.Fatal(table.Obstacles)
	}
	r := terminalOf(t, table.Descriptions[descriptors[1][0].Description-1])
	if !r.Controlling || !r.Foreground || r.Standard != 0 {
		t.Errorf("recorded as %+v, want it in the foreground", r)
	}
}
