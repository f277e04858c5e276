package coord

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/proc"
	"crak.dev/crak/internal/resident"
)

// refused checks that Check and Checkpoint report the same single obstacle.
func refused(t *testing.T, pid int, what, do string) {
	t.Helper()
	report, err := Check(Options{Pid: pid})
	if err != nil || len(report.Obstacles) != 1 {
		t.Fatalf("check: %v, %v", report, err)
	}
	list := report.Obstacles
	_, err = Checkpoint(Options{Pid: pid})
	o := only(t, err)
	if o != list[0] {
		t.Errorf("check says %v, checkpoint %v", list[0], o)
	}
	contains(t, o.What, what)
	contains(t, o.Do, do)
}

func TestNotResident(t *testing.T) {
	p := start(t, false, exec.Command("cat"))
	refused(t, p.pid(), "no resident", "start the program with crak run")
	p.leftAlone()
}

// TestHandlerBeforeLibrary: the process has a handler for the freeze signal and no library, as in the middle of execve(2). It
// has the library 300 ms later.
func TestHandlerBeforeLibrary(t *testing.T) {
	library, err := filepath.Abs("../build/libcrak.so")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, false, &exec.Cmd{Path: build(t, "handler"), Env: []string{"LD_PRELOAD_LATER=" + library}})
	if _, err := Checkpoint(Options{Pid: p.pid()}); err != nil {
		t.Error(err)
	}
	p.echoes()
}

func TestHandlersCleared(t *testing.T) {
	p := start(t, true, exec.Command(build(t, "clears")))
	p.grown(1)
	refused(t, p.pid(), "no resident", "without CLONE_CLEAR_SIGHAND (clone3(2)); or leave it out")
	p.echoes()
}

func TestStatic(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "echo.c")
	os.WriteFile(source, []byte(`#include <unistd.h>
int main(void) { char c; while (read(0, &c, 1) == 1 && write(1, &c, 1) == 1) ; return 0; }
`), 0o600)
	if out, err := exec.Command("gcc", "-static", "-o", dir+"/echo", source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := start(t, true, exec.Command(dir+"/echo"))
	refused(t, p.pid(), "statically linked program", "use a dynamically linked build")
	p.leftAlone()
}

// TestStoppedBesideRefused: one child cannot be a member, and another one is stopped. crak does not go on tracing the stopped one.
func TestStoppedBesideRefused(t *testing.T) {
	// A fork of bash with the library stops itself, and a program without the library has been executed before bash becomes cat. A shell
	// gets no event for either, so it looks again.
	const script = `(kill -STOP $BASHPID) & until [[ $(</proc/$!/stat) = *') T '* ]]; do sleep 0.01; done
		LD_PRELOAD= sleep 1001 & until [[ $(readlink /proc/$!/exe) = */sleep ]]; do sleep 0.01; done
		exec cat`
	p := start(t, true, exec.Command("bash", "-c", script))
	p.grown(2)
	for range 2 { // the first check must not be what the second one refuses
		refused(t, p.pid(), "no resident", "leave it out")
	}
	for _, pid := range familyOf(p.pid()) {
		if s, err := proc.Read(pid, "status", proc.Status); err != nil || s.TracerPid != 0 {
			t.Errorf("pid %d: traced by %d, %v", pid, s.TracerPid, err)
		}
	}
	p.echoes()
}

func TestTraced(t *testing.T) {
	p := start(t, true, &exec.Cmd{Path: "/bin/cat", SysProcAttr: &syscall.SysProcAttr{Ptrace: true}})
	p.state('t') // at the end of execve(2): before that, its auxiliary vector is not complete
	refused(t, p.pid(), "traced by pid ", "detach")
}

func TestEnded(t *testing.T) {
	p := start(t, true, exec.Command("cat"))
	p.Process.Kill()
	p.state('Z')
	refused(t, p.pid(), "the program has ended", "")
	p.Wait()
	if _, err := Checkpoint(Options{Pid: p.pid()}); !strings.Contains(errorText(err), "no such process") {
		t.Errorf("a process that is gone: %v", err)
	}
	tasks, err := proc.Tasks(os.Getpid())
	if err != nil || len(tasks) < 2 {
		t.Fatal(tasks, err)
	}
	thread := tasks[0]
	if thread == os.Getpid() { // TIDs may have wrapped around
		thread = tasks[1]
	}
	_, err = Check(Options{Pid: thread})
	contains(t, errorText(err), "a thread of process "+strconv.Itoa(os.Getpid()))
}

// TestOtherUser: an ordinary user asks for a checkpoint of another user's program.
func TestOtherUser(t *testing.T) {
	pid := 1
	cmd := exec.Command("/proc/self/exe")
	if os.Geteuid() == 0 {
		pid = start(t, true, exec.Command("cat")).pid()
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
		if err := os.Chmod("/proc/self/exe", 0o755); err != nil { // the builder's umask may be 077
			t.Fatal(err)
		}
	}
	cmd.Env = []string{environmentPid + "=" + strconv.Itoa(pid)}
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	contains(t, string(out), "process of user 0: only that user and root may checkpoint it")
}

// TestRootLacks: root without the program's capabilities may not read the program. The hint must not be to become root.
func TestRootLacks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: the test runs crak as root without a capability")
	}
	p := start(t, true, exec.Command("cat"))
	for _, command := range []string{"check", "checkpoint"} {
		out, err := exec.Command("setpriv", "--bounding-set", "-sys_ptrace", "../build/crak", command, strconv.Itoa(p.pid())).CombinedOutput()
		if err == nil {
			t.Errorf("%s: no error: %s", command, out)
		}
		contains(t, string(out), "permission denied")
		contains(t, string(out), "hint: start crak with every capability that the program has, CAP_SYS_PTRACE among them")
		if strings.Contains(string(out), "as root") {
			t.Errorf("%s: %s", command, out)
		}
	}
	p.leftAlone()
}

func TestOtherNetwork(t *testing.T) {
	attributes := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		attributes.Cloneflags |= unix.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	}
	probe := exec.Command("true")
	probe.SysProcAttr = attributes
	if err := probe.Run(); err != nil {
		t.Skipf("network namespaces: %v", err)
	}
	cmd := exec.Command("cat")
	cmd.SysProcAttr = attributes
	p := start(t, true, cmd)
	refused(t, p.pid(), "in another network namespace", "nsenter --net --target "+strconv.Itoa(p.pid()))
	p.leftAlone()
}

func TestOutOfDescriptors(t *testing.T) {
	p := start(t, true, exec.Command("cat"))
	const limit = 3 + descriptorsNeeded // standard input, output and error are open
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit - 1, Max: limit}, nil); err != nil {
		t.Fatal(err)
	}
	refused(t, p.pid(), "out of descriptors", "prlimit --nofile")
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Checkpoint(Options{Pid: p.pid()}); err != nil {
		t.Errorf("%d descriptors are enough: %v", descriptorsNeeded, err)
	}
	p.echoes()
}

// TestExplain: the error names a thread that does not stop, and what it is doing.
func TestExplain(t *testing.T) {
	p := start(t, true, exec.Command("cat"))
	p.state('S')
	failure := abi.Failure{Code: abi.FailedPark, Tid: int32(p.pid()), Detail: 5000}
	o := only(t, explain(&resident.FreezeError{Pid: p.pid(), Failure: failure}))
	contains(t, o.Where, "thread "+strconv.Itoa(p.pid()))
	contains(t, o.What, `thread "cat" in state S, in system call read`)
	contains(t, o.Why, "did not stop within 5 s")
	failure = abi.Failure{Code: abi.FailedSignal, Tid: 7, Detail: int32(unix.EAGAIN)}
	contains(t, explain(&resident.FreezeError{Pid: 6, Failure: failure}).Error(), "prlimit --sigpending")
	contains(t, only(t, noAnswer(p.pid(), p.pid(), 2, timeoutHold)).What, "between crak_hold and crak_release")
}

func TestPreloadable(t *testing.T) {
	elf := func(class byte, machine uint16, segment uint32) []byte {
		b := make([]byte, elfHeader+elfSegment)
		copy(b, elfMagic)
		b[elfClass] = class
		binary.LittleEndian.PutUint16(b[elfMachine:], machine)
		binary.LittleEndian.PutUint64(b[elfPhoff:], elfHeader)
		binary.LittleEndian.PutUint16(b[elfPhentsize:], elfSegment)
		binary.LittleEndian.PutUint16(b[elfPhnum:], 1)
		binary.LittleEndian.PutUint32(b[elfHeader:], segment)
		return b
	}
	for name, test := range map[string]struct {
		content []byte
		what    string
	}{
		"dynamic":   {elf(2, machine, segInterp), ""},
		"static":    {elf(2, machine, 1), "statically linked program"},
		"32-bit":    {elf(1, 3, segInterp), "32-bit program"},
		"processor": {elf(2, 0xb7, segInterp), "program for another processor, ELF machine 183"},
		"cut":       {elf(2, machine, segInterp)[:elfHeader], ""},
		"script":    {[]byte("#!/bin/sh\nexit 0\n"), ""},
		"empty":     {nil, ""},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, test.content, 0o700); err != nil {
			t.Fatal(err)
		}
		if what, do := Preloadable(path); what != test.what || (what != "") != (do != "") {
			t.Errorf("%s: %q, %q instead of %q", name, what, do, test.what)
		}
	}
}
