package coord

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// holder is cat with 8 MiB of shared memory, which is saved under the freeze, and 64 MiB of private memory.
func holder(t *testing.T, seconds int) *program {
	t.Helper()
	source := filepath.Join(t.TempDir(), "holder")
	os.WriteFile(source+".c", []byte(`#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void)
{
	char c, *shared = mmap(0, 8 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *own = mmap(0, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || own == MAP_FAILED) return 1;
	memset(shared, 1, 8 << 20);
	memset(own, 2, 64 << 20);
	while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1)
		;
	return 0;
}
`), 0o600)
	if out, err := exec.Command("gcc", "-O1", "-o", source, source+".c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(source)
	cmd.Env = []string{"CRAK_FREEZE_LIMIT=" + strconv.Itoa(seconds)}
	return start(t, true, cmd)
}

// frozen freezes a program and returns the connection.
func frozen(t *testing.T, pid int) *resident.Conn {
	t.Helper()
	l, err := resident.Listen(new(resident.Key))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Order(pid, pid, abi.OrderFreeze); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept(pid, timeoutAnswer)
	if err == nil {
		_, err = c.Frozen(timeoutFreeze)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestFreezeIsBounded: the resident resumes the program if the writer sends nothing for the limit, but not while it sends
// PROGRESS or other messages.
func TestFreezeIsBounded(t *testing.T) {
	p := holder(t, 3)
	c := frozen(t, p.pid())
	if c.Hello.Limit != 3000 {
		t.Errorf("limit %d ms", c.Hello.Limit)
	}
	for range 5 {
		time.Sleep(750 * time.Millisecond) // a quarter of the limit: five of them are longer than it
		c.Progress()
	}
	begun := time.Now() // the limit begins with the next message
	if err := c.Confirm(); err != nil {
		t.Fatalf("with progress: %v", err)
	}
	p.echoes()
	if d := time.Since(begun); d < 2*time.Second || d > 10*time.Second {
		t.Errorf("the program was resumed after %v", d)
	}
	if err := c.Confirm(); !errors.Is(err, resident.ErrFreezeEnded) {
		t.Errorf("asked then: %v", err)
	}
	if err := c.Kill(p.pidfd()); !errors.Is(err, resident.ErrFreezeEnded) {
		t.Errorf("killed then: %v", err)
	}
	p.leftAlone()
}

// pidfd is closed at the end of the test.
func (p *program) pidfd() int {
	p.Helper()
	fd, err := unix.PidfdOpen(p.pid(), 0)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { unix.Close(fd) })
	return fd
}

// TestKillFrozen: Kill ends a frozen program.
func TestKillFrozen(t *testing.T) {
	p := holder(t, 30)
	if err := frozen(t, p.pid()).Kill(p.pidfd()); err != nil {
		t.Error(err)
	}
	p.state('Z')
}

// disk is a file system that hangs between freeze and thaw.
type disk struct {
	*testing.T
	dir  string
	root *os.File
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root: a file system is to be mounted and frozen")
	}
	base := t.TempDir()
	d := &disk{T: t, dir: filepath.Join(base, "disk")}
	os.Mkdir(d.dir, 0o700)
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 256<<20); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{{"mkfs.ext4", "-q", file}, {"mount", "-o", "loop", file, d.dir}} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Skipf("a loop device: %s: %v\n%s", argv, err, out)
		}
	}
	var err error
	if d.root, err = os.Open(d.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.thaw()
		d.root.Close()
		exec.Command("umount", "-l", d.dir).Run()
	})
	return d
}

const (
	fiFreeze = 0xc0045877 // FIFREEZE
	fiThaw   = 0xc0045878 // FITHAW
)

func (d *disk) freeze() {
	if err := unix.IoctlSetInt(int(d.root.Fd()), fiFreeze, 0); err != nil {
		d.Errorf("fsfreeze: %v", err)
	}
}

func (d *disk) thaw() { unix.IoctlSetInt(int(d.root.Fd()), fiThaw, 0) }

// TestDiskHangs: content that is saved under the freeze is kept in memory until the program runs. The disk hangs from before
// the freeze until the program has answered.
func TestDiskHangs(t *testing.T) {
	d, p := newDisk(t), holder(t, 30)
	done := make(chan error, 1)
	var result *Result
	go func() {
		var err error
		result, err = Checkpoint(Options{Pid: p.pid(), Output: filepath.Join(d.dir, "image"),
			Progress: func(*image.Writer, []int) { d.freeze() }})
		done <- err
	}()
	p.twin()
	p.echoes()
	select {
	case err := <-done:
		t.Errorf("the checkpoint is over: %v", err)
	default:
	}
	d.thaw()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if result.Pause > 5*time.Second {
		t.Errorf("pause %v", result.Pause)
	}
	if _, err := image.Open(result.Path); err != nil {
		t.Error(err)
	}
}

// twin waits until the program has a twin. The pause is then over.
func (p *program) twin() {
	p.Helper()
	path := "/proc/" + strconv.Itoa(p.pid()) + "/task/" + strconv.Itoa(p.pid()) + "/children"
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		text, _ := os.ReadFile(path)
		if len(text) > 0 {
			return
		}
		if time.Now().After(deadline) {
			p.Fatal("no twin")
		}
	}
}

// TestDiskHangsKill: with --kill the program is frozen while the disk hangs. The resident resumes it after the limit. There is
// no image, and the program is not ended.
func TestDiskHangsKill(t *testing.T) {
	d, p := newDisk(t), holder(t, 1)
	done, hangs := make(chan error, 1), make(chan bool, 1)
	go func() {
		_, err := Checkpoint(Options{Pid: p.pid(), Kill: true, Output: filepath.Join(d.dir, "image"),
			Progress: func(*image.Writer, []int) {
				d.freeze()
				hangs <- true
			}})
		done <- err
	}()
	<-hangs
	for deadline := time.Now().Add(20 * time.Second); !p.inHandler(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no freeze")
		}
	}
	p.echoes()
	d.thaw()
	if err := <-done; !errors.Is(err, resident.ErrFreezeEnded) {
		t.Errorf("%v", err)
	}
	p.leftAlone()
	if left, _ := filepath.Glob(filepath.Join(d.dir, "*image*")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// inHandler tells whether the program is in the resident's handler, which blocks all signals.
func (p *program) inHandler() bool {
	status, err := proc.Read(p.pid(), "status", proc.Status)
	return err == nil && status.SigBlk&(1<<(abi.FreezeSignal-1)) != 0
}

// TestStoppedWriter: the writer is stopped at many moments. The program runs on after the freeze limit. A writer that is then
// continued does not end the program.
func TestStoppedWriter(t *testing.T) {
	const limit = time.Second
	p := holder(t, 1)
	crak, err := filepath.Abs("../build/crak")
	if err != nil {
		t.Fatal(err)
	}
	held := 0
	for try := 0; try < 40 && (try < 10 || held == 0) && !p.ended(); try++ {
		argv := []string{"checkpoint", strconv.Itoa(p.pid())}
		if try >= 5 {
			argv = append(argv, "--kill")
		}
		cmd := exec.Command(crak, argv...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p.awaitFreeze(time.Duration(try) * time.Millisecond)
		cmd.Process.Signal(unix.SIGSTOP)
		if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		echoed := p.echoesOrEnds() // it ends if the writer was stopped too late
		d := time.Since(begun)
		isHeld := d > limit-100*time.Millisecond
		if isHeld {
			held++
		}
		if d > 5*time.Second {
			t.Errorf("try %d: the program was held up for %v", try, d)
		}
		cmd.Process.Signal(unix.SIGCONT)
		err := cmd.Wait()
		if isHeld && (!echoed || p.ended()) {
			t.Errorf("try %d: it was resumed, and ended: %v", try, err)
		}
	}
	if held == 0 && !p.ended() {
		t.Error("the writer was never stopped under the freeze")
	}
	t.Logf("held up %d times", held)
}

// awaitFreeze waits until the program has been in the handler for 2 ms more than inside. A query takes less than 2 ms.
func (p *program) awaitFreeze(inside time.Duration) {
	begun := time.Now()
	for deadline := begun.Add(5 * time.Second); time.Since(begun) < inside+2*time.Millisecond && time.Now().Before(deadline); {
		if !p.inHandler() {
			begun = time.Now()
		}
	}
}

// echoesOrEnds is echoes for a program that may end meanwhile. It tells whether the program has copied the line.
func (p *program) echoesOrEnds() bool {
	p.Helper()
	const line = "still here\n"
	_, err := io.WriteString(p.in, line)
	got := ""
	if err == nil {
		got, err = p.lines.ReadString('\n')
	}
	if err == nil && got == line {
		return true
	}
	p.state('Z')
	return false
}

func (p *program) ended() bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid()) + "/stat")
	return err != nil || strings.Contains(string(text), ") Z ")
}
