package coord

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/proc"
)

// stop stops a child of this process, and takes the parent's notice of it.
func (p *program) stop(signal unix.Signal) {
	p.Helper()
	unix.Kill(p.pid(), signal)
	p.state('T')
	var status unix.WaitStatus
	if pid, err := unix.Wait4(p.pid(), &status, unix.WUNTRACED, nil); pid != p.pid() || err != nil || status.StopSignal() != signal {
		p.Fatalf("stopped: %d, %v, %v", pid, status, err)
	}
}

// unnoticed checks that the process is stopped, and that its parent has been told nothing.
func (p *program) unnoticed() {
	p.Helper()
	p.state('T')
	var status unix.WaitStatus
	if pid, err := unix.Wait4(p.pid(), &status, unix.WUNTRACED|unix.WCONTINUED|unix.WNOHANG, nil); pid != 0 || err != nil {
		p.Errorf("the parent is told %#x, %v", int(status), err)
	}
}

// TestStopped: a stopped program stays stopped, and the image says which signal has stopped it.
func TestStopped(t *testing.T) {
	for _, signal := range []unix.Signal{unix.SIGSTOP, unix.SIGTSTP} {
		cat := exec.Command("cat")
		cat.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // SIGTSTP does not stop an orphaned process group, as that of the test may be
		p := start(t, true, cat)
		p.stop(signal)
		report, err := Check(Options{Pid: p.pid()})
		if err != nil || len(report.Obstacles) > 0 {
			t.Errorf("check: %v, %v", report, err)
		}
		p.unnoticed()
		for i, twin := range []string{"", "never"} {
			result, err := Checkpoint(Options{Pid: p.pid(), Twin: twin})
			if err != nil {
				t.Fatalf("checkpoint %d: %v", i, err)
			}
			p.unnoticed()
			if _, group := members(t, result.Path); group.Processes[0].StoppedBy != int(signal) {
				t.Errorf("stopped by %d", group.Processes[0].StoppedBy)
			}
		}
		unix.Kill(p.pid(), unix.SIGCONT)
		p.leftAloneBut(2)
	}
}

// leftAloneBut is leftAlone, with images.
func (p *program) leftAloneBut(images int) {
	p.Helper()
	p.echoes()
	p.noChildren()
	if all, _ := filepath.Glob(filepath.Join(p.dir, "*.*", "[0-9]*")); len(all) != images {
		p.Errorf("images: %q", all)
	}
}

// TestStoppedMember: a member with many threads is stopped, and signals are pending. It does not run until it is continued, and
// the signals are in the image, and blocked signals as well.
func TestStoppedMember(t *testing.T) {
	p, pids := tree(t, 2)
	child := pids[1]
	unix.Kill(child, unix.SIGSTOP)
	inState(t, child, 'T')
	unix.Kill(child, unix.SIGTERM)
	before, _ := proc.Read(child, "status", proc.Status)
	result, err := Checkpoint(Options{Pid: p.pid()})
	if err != nil {
		t.Fatal(err)
	}
	inState(t, child, 'T')
	after, err := proc.Read(child, "status", proc.Status)
	if err != nil || after.State != 'T' || after.ShdPnd != before.ShdPnd || after.SigBlk != before.SigBlk || after.TracerPid != 0 {
		t.Errorf("the member was %+v, is %+v, %v", before, after, err)
	}
	_, group := members(t, result.Path)
	for _, process := range group.Processes {
		stopped, pending := 0, 0
		if process.Pid == image.Pid(child) {
			stopped, pending = int(unix.SIGSTOP), 1
		}
		if process.StoppedBy != stopped || len(process.Pending) != pending {
			t.Errorf("pid %d: stopped by %d, %d signals are pending", process.Pid, process.StoppedBy, len(process.Pending))
		}
	}
	p.echoes()
	unix.Kill(child, unix.SIGCONT)
	p.ends()
}

// TestStoppedThreads: a stopped program with 64 threads.
func TestStoppedThreads(t *testing.T) {
	p := start(t, true, exec.Command(build(t, "threads"), "64"))
	p.stop(unix.SIGSTOP)
	for i := range 3 {
		if _, err := Checkpoint(Options{Pid: p.pid(), Output: filepath.Join(p.dir, strconv.Itoa(i))}); err != nil {
			t.Fatal(err)
		}
		p.unnoticed()
	}
	unix.Kill(p.pid(), unix.SIGCONT)
	p.echoes()
	p.ends()
}
