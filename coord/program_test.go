package coord

import (
	"bufio"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/internal/obstacle"
	"crak.dev/crak/internal/proc"
)

// environmentPid makes the test program checkpoint this process and print the error. A test runs it as another user.
const environmentPid = "COORD_TEST_PID"

// environmentStuck shortens timeoutStuck for that.
const environmentStuck = "COORD_TEST_STUCK"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == fd.KeeperCommand { // the writer has executed it
		if err := fd.RunKeeper(os.Args[2:]); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	if pid, err := strconv.Atoi(os.Getenv(environmentPid)); err == nil {
		if os.Getenv(environmentStuck) != "" {
			timeoutStuck = 2 * time.Second
		}
		options := Options{Pid: pid}
		if words := strings.SplitN(os.Getenv(environmentPhase), ",", 2); len(words) == 2 {
			options.Twin, options.Kill = words[0], words[0] == "kill"
			options.phase = endsAt(words[1])
			if call := os.Getenv(environmentCall); call != "" {
				options.phase = endsAtCall(words[1], call)
			}
		}
		if options.Kill {
			options.Twin = ""
		}
		_, err := Checkpoint(options)
		io.WriteString(os.Stdout, errorText(err))
		os.Exit(0)
	}
	// A pipe inherited from a shell, make or a CI runner would be an obstacle in every program.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// program is cat, or another program that copies lines from its input to its output.
type program struct {
	*testing.T
	*exec.Cmd
	dir   string // CRAK_DIR
	in    io.Writer
	lines *bufio.Reader
}

func (p *program) pid() int { return p.Process.Pid }

// start runs a command, preloaded or not, and waits until it has copied a line.
func start(t *testing.T, preloaded bool, cmd *exec.Cmd) *program {
	t.Helper()
	p := begin(t, preloaded, cmd)
	if p.SysProcAttr == nil || !p.SysProcAttr.Ptrace {
		p.echoes()
	}
	return p
}

// begin runs a command, preloaded or not.
func begin(t *testing.T, preloaded bool, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{T: t, Cmd: cmd, dir: t.TempDir()}
	env := p.Env
	p.Env = []string{"CRAK_DIR=" + p.dir}
	if preloaded {
		library, err := filepath.Abs("../build/libcrak.so")
		if err == nil {
			_, err = os.Stat(library)
		}
		if err != nil {
			t.Fatalf("%v: make comes first", err)
		}
		p.Env = append(p.Env, "LD_PRELOAD="+library)
	}
	p.Env = append(p.Env, env...)
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		endFamily(p.pid())
		p.Process.Kill()
		p.Wait()
	})
	p.in, p.lines = in, bufio.NewReader(out)
	return p
}

// endFamily kills the descendants of a process. It first stops all of them, so that none has more children.
func endFamily(root int) {
	unix.Kill(root, unix.SIGSTOP)
	stopped := make(map[int]bool)
	for before := -1; before < len(stopped); {
		before = len(stopped)
		for _, pid := range familyOf(root) {
			unix.Kill(pid, unix.SIGSTOP)
			stopped[pid] = true
		}
	}
	for pid := range stopped {
		unix.Kill(pid, unix.SIGKILL)
	}
}

// echoes checks that the program copies a line.
func (p *program) echoes() {
	p.Helper()
	const line = "still here\n"
	if _, err := io.WriteString(p.in, line); err != nil {
		p.Fatal(err)
	}
	if got, err := p.lines.ReadString('\n'); got != line {
		p.Fatalf("the program says %q, %v", got, err)
	}
}

// leftAlone checks that a failed checkpoint has left nothing behind.
func (p *program) leftAlone() {
	p.Helper()
	p.echoes()
	p.noChildren()
	if images, _ := filepath.Glob(filepath.Join(p.dir, "*.*", "*")); len(images) > 0 {
		p.Errorf("left over: %q", images)
	}
}

func (p *program) noChildren() {
	p.Helper()
	path := proc.Path(p.pid(), "task/"+strconv.Itoa(p.pid())+"/children")
	if text, err := os.ReadFile(path); err != nil || len(text) > 0 {
		p.Errorf("children %q are left: %v", text, err)
	}
}

func (p *program) log() string {
	text, _ := os.ReadFile(filepath.Join(p.dir, "crak.log"))
	return string(text)
}

// state waits until the process is in a state of /proc/PID/stat.
func (p *program) state(want byte) {
	p.Helper()
	inState(p.T, p.pid(), want)
}

func inState(t *testing.T, pid int, want byte) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		s, err := proc.Read(pid, "stat", proc.Stat)
		if err == nil && s.State == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("state %c instead of %c: %v", s.State, want, err)
		}
	}
}

// only returns the obstacle of an error that has exactly one.
func only(t *testing.T, err error) obstacle.Obstacle {
	t.Helper()
	list, ok := errors.AsType[obstacle.List](err)
	if !ok || len(list) != 1 {
		t.Fatalf("error %v: one obstacle expected", err)
	}
	return list[0]
}

func contains(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("%q does not say %q", text, want)
	}
}

// obstaclesOf returns the obstacles of an error, of which there is at least one.
func obstaclesOf(t *testing.T, err error) obstacle.List {
	t.Helper()
	list, ok := errors.AsType[obstacle.List](err)
	if !ok || len(list) == 0 {
		t.Fatalf("error %v: obstacles expected", err)
	}
	return list
}

// trace traces a process, and returns when it does. The result ends that.
func trace(t *testing.T, pid int) (detach func()) {
	t.Helper()
	done, ended, begun := make(chan bool), make(chan bool), make(chan error)
	go func() {
		defer close(ended)
		runtime.LockOSThread() // the tracer is one thread
		_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0)
		if errno != 0 {
			begun <- errno
			return
		}
		begun <- nil
		<-done
		// The end of the thread would detach as well, but Go's main thread does not end.
		unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_INTERRUPT, uintptr(pid), 0, 0, 0, 0)
		if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err == nil {
			unix.PtraceDetach(pid)
		}
	}()
	if err := <-begun; err != nil {
		t.Fatal(err)
	}
	return func() {
		close(done)
		<-ended
	}
}
