package coord

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// storm is how long a program is checkpointed as often as possible. SOAK is a longer time in seconds.
func storm() time.Duration {
	if seconds, err := strconv.Atoi(os.Getenv("SOAK")); err == nil {
		return time.Duration(seconds) * time.Second
	}
	return 4 * time.Second
}

func compile(t *testing.T, flags ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "executes")
	args := append([]string{"-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program, "testdata/executes.c"}, flags...)
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestExecute: checkpoints are asked for while a program executes itself, or a static program, again and again. No signal kills
// the program, and afterwards it can be checkpointed.
func TestExecute(t *testing.T) {
	dynamic, static := compile(t), compile(t, "-static")
	for name, between := range map[string]string{"itself": dynamic, "static": static} {
		t.Run(name, func(t *testing.T) {
			p := startStorm(t, dynamic, "exec", dynamic, between)
			p.ask(func() []int { return []int{p.pid()} })
			p.done()
		})
	}
}

// TestSpawn: checkpoints of the children of posix_spawn, vfork and system are asked for as they begin.
func TestSpawn(t *testing.T) {
	dynamic, static := compile(t), compile(t, "-static")
	for name, child := range map[string]string{"itself": dynamic, "static": static} {
		t.Run(name, func(t *testing.T) {
			p := startStorm(t, dynamic, "spawn", child, child)
			p.ask(p.children)
			p.done()
		})
	}
}

// TestExecuteAfterAdopt: root's crak has opened the program's memory, and the program executes another one before the checkpoint.
func TestExecuteAfterAdopt(t *testing.T) {
	p := start(t, true, exec.Command("bash", "-c", `read -r line; echo "$line"; read -r line; exec cat`))
	before := programOf(p.pid())
	r, err := Adopt(p.pid(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		t.Fatal(err)
	}
	p.echoes()
	if !differ(programOf(p.pid()), before) {
		t.Fatal("it has not executed cat")
	}
	if _, err := Checkpoint(Options{Pid: p.pid(), Rights: r, Compress: "none"}); err != nil {
		t.Fatal(err)
	}
	_, err = Checkpoint(Options{Pid: p.pid(), Rights: r, Output: filepath.Join(p.dir, "none", "there")})
	contains(t, errorText(err), "no such file or directory") // the error is one of the new program
}

// TestExecuteBetweenQueries: a member that was found by its group ID is queried twice, and the program executes another one in between. The
// other one has another secret.
func TestExecuteBetweenQueries(t *testing.T) {
	p := start(t, true, exec.Command("bash", "-c", `read -r line; echo "$line"; read -r line; exec cat`))
	now, err := rightsOf(p.pid())
	if err != nil {
		t.Fatal(err)
	}
	m := &member{pid: p.pid(), live: p.pid(), context: t.Context(), rights: &now}
	if err := m.query(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		t.Fatal(err)
	}
	p.echoes()
	if !m.isAnother() {
		t.Fatal("it has not executed cat")
	}
	if err := m.query(); err != nil {
		t.Error(err)
	}
}

// TestExecuteFails: while an exec function of libc fails, the process ignores the freeze signal for a moment. The kernel then drops the orders that
// are pending for other threads.
func TestExecuteFails(t *testing.T) {
	p := start(t, true, exec.Command(build(t, "fails")))
	for n := range 10 {
		if _, err := p.image(p.pid(), n); err != nil {
			t.Fatalf("checkpoint %d: %v", n, err)
		}
	}
	p.echoes()
}

// startStorm runs testdata/executes.c, which documents its arguments.
func startStorm(t *testing.T, executable, between, one, other string) *program {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	until := strconv.Itoa(int(now.Sec) + int(storm().Seconds()))
	return begin(t, true, exec.Command(executable, until, between, "0", one, other))
}

// ask checks and checkpoints processes as often as possible for the time of storm.
func (p *program) ask(pids func() []int) {
	var asked, made atomic.Int32
	var all sync.WaitGroup
	deadline := time.Now().Add(storm())
	for worker := range 3 {
		all.Go(func() {
			for time.Now().Before(deadline) {
				for _, pid := range pids() {
					n := asked.Add(1)
					if worker > 0 {
						report, err := Check(Options{Pid: pid})
						if err == nil {
							err = report.Obstacles.Err()
						}
						p.saysWhy(err)
					} else if _, err := p.image(pid, int(n)); err == nil {
						made.Add(1)
					} else {
						p.saysWhy(err)
					}
				}
			}
		})
	}
	all.Wait()
	p.Logf("%d times asked, %d images", asked.Load(), made.Load())
}

// saysWhy checks that an error tells the reason: the process has executed another program or ended, or is one that cannot be
// checkpointed. A worker may also see what another worker does: the resident's socket, and the writer as tracer.
func (p *program) saysWhy(err error) {
	reasons := []string{"it has executed another program meanwhile", "the program has ended", "no such process", "another checkpoint",
		"statically linked program", "shares the memory of its parent",
		"socket (socket:[", "traced by"}
	if err != nil && !slices.ContainsFunc(reasons, func(reason string) bool { return strings.Contains(err.Error(), reason) }) {
		p.Errorf("%v", err)
	}
}

func (p *program) image(pid, number int) (*Result, error) {
	return Checkpoint(Options{Pid: pid, Output: filepath.Join(p.dir, fmt.Sprint("image", number)), Compress: "none"})
}

func (p *program) children() (pids []int) {
	text, err := os.ReadFile(proc.Path(p.pid(), "task/"+strconv.Itoa(p.pid())+"/children"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, word := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(word); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// done checks that the program lives, can be checkpointed, and exits by itself.
func (p *program) done() {
	p.Helper()
	if line, err := p.lines.ReadString('\n'); line != "READY\n" {
		p.Fatalf("the program says %q; %v; %v", line, err, p.Wait())
	}
	if _, err := p.image(p.pid(), 0); err != nil {
		p.Error(err)
	}
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		p.Error(err)
	}
	line, _ := p.lines.ReadString('\n')
	if err := p.Wait(); err != nil || line != "DONE\n" {
		p.Fatalf("the program says %q; %v", line, err)
	}
}
