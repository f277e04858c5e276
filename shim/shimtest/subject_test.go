package shimtest

import (
	"bufio"
	"io"
	"math"
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
)

// testTimeout is how long a test waits for one line of output.
const testTimeout = 30 * time.Second

func library(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../build/libcrak.so")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: make comes first", err)
	}
	return path
}

var compiled = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "shimtest")
	if err == nil {
		err = os.Chmod(dir, 0o755) // other users run the program, too
	}
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "subject")
	out, err := exec.Command("gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-I..", "-I../../internal/abi",
		"-o", program, "testdata/subject.c", "testdata/subject_hold.c", "testdata/subject_wait.c", "testdata/subject_reap.c").CombinedOutput()
	os.Stderr.Write(out)
	if err == nil {
		err = os.Chmod(program, 0o755)
	}
	return program, err
})

func TestMain(m *testing.M) {
	if attackFromEnvironment() {
		os.Exit(0)
	}
	// A pipe that the test inherited from a shell, make or a CI runner would be an obstacle to every checkpoint.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		panic(err)
	}
	code := m.Run()
	if program, err := compiled(); err == nil {
		os.RemoveAll(filepath.Dir(program))
	}
	os.Exit(code)
}

// subject is a running testdata/subject*.c. It ends when its standard input is closed or the test ends.
type subject struct {
	*testing.T
	cmd    *exec.Cmd
	dir    string // CRAK_DIR
	stdin  io.WriteCloser
	output chan string
}

// start runs the program in a mode. An environment entry can name another library than the one in build.
func start(t *testing.T, preloaded bool, mode string, env ...string) *subject {
	t.Helper()
	return startWith(t, nil, preloaded, mode, env...)
}

// startAs runs the program with the library, possibly as another user, who then owns its directory.
func startAs(t *testing.T, attributes *syscall.SysProcAttr, mode string, env ...string) *subject {
	t.Helper()
	return startWith(t, attributes, true, mode, env...)
}

func startWith(t *testing.T, attributes *syscall.SysProcAttr, preloaded bool, mode string, env ...string) *subject {
	t.Helper()
	program, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{T: t, cmd: exec.Command(program, mode), dir: t.TempDir(), output: make(chan string, 100)}
	s.cmd.Env = []string{"CRAK_DIR=" + s.dir}
	if preloaded {
		s.cmd.Env = append(s.cmd.Env, "LD_PRELOAD="+library(t))
	}
	s.cmd.Env = append(s.cmd.Env, env...)
	s.cmd.Dir = s.dir
	s.cmd.Stderr = os.Stderr
	if s.cmd.SysProcAttr = attributes; attributes != nil && attributes.Credential != nil {
		if err := os.Chmod(filepath.Dir(s.dir), 0o711); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(s.dir, int(attributes.Credential.Uid), int(attributes.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.output)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.output <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	})
	return s
}

func (s *subject) pid() int { return s.cmd.Process.Pid }

// await reads the next line, which must begin with word, and returns the rest of the line.
func (s *subject) await(word string) string {
	s.Helper()
	select {
	case line := <-s.output:
		rest, ok := strings.CutPrefix(line, word)
		if !ok {
			s.Fatalf("the program says %q instead of %s; log:\n%s", line, word, s.log())
		}
		return strings.TrimSpace(rest)
	case <-time.After(testTimeout):
		s.Fatalf("no %s; thread waits in %s; log:\n%s", word, s.file("wchan"), s.log())
	}
	return ""
}

// proceed writes the line that the program waits for.
func (s *subject) proceed() {
	s.Helper()
	if _, err := io.WriteString(s.stdin, "\n"); err != nil {
		s.Fatal(err)
	}
}

func (s *subject) file(name string) string {
	s.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.pid()), name))
	if err != nil {
		s.Fatal(err)
	}
	return string(text)
}

func (s *subject) log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "crak.log"))
	return string(text)
}
