package coord

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// Two user IDs without an account.
const alice, bob = 12345, 12346

// arena has a directory for each of two users and root, which only its owner may enter.
type arena struct {
	*testing.T
	dir, library, hostile string
}

func newArena(t *testing.T) *arena {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root: the test runs crak as root")
	}
	dir, err := os.MkdirTemp("", "arena")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	a := &arena{t, dir, filepath.Join(dir, "libcrak.so"), filepath.Join(dir, "libcrak-hostile")}
	a.must(os.Chmod(dir, 0o755))
	content, err := os.ReadFile("../build/libcrak.so")
	if err != nil {
		t.Fatalf("%v: make comes first", err)
	}
	a.must(os.WriteFile(a.library, content, 0o755))
	for name, uid := range map[string]int{"alice": alice, "bob": bob, "root": 0} {
		a.must(os.Mkdir(a.path(name), 0o700))
		a.must(os.Chown(a.path(name), uid, uid))
	}
	return a
}

func (a *arena) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

func (a *arena) path(names ...string) string {
	return filepath.Join(append([]string{a.dir}, names...)...)
}

// start runs a user's program, preloaded unless env says otherwise.
func (a *arena) start(uid uint32, cmd *exec.Cmd, env ...string) *program {
	a.Helper()
	cmd.Dir = a.path(map[uint32]string{alice: "alice", bob: "bob"}[uid])
	cmd.Env = append([]string{"CRAK_DIR=" + cmd.Dir, "LD_PRELOAD=" + a.library}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{uid + 1}}}
	return start(a.T, true, cmd)
}

// lie runs testdata/hostile.c as alice: a program without libcrak.so that claims to have a resident.
func (a *arena) lie(mode string, victim int, env ...string) *program {
	a.Helper()
	a.buildHostile()
	env = append([]string{"LD_PRELOAD=", "CRAK_START_DIR=" + a.path("alice")}, env...)
	return a.start(alice, exec.Command(a.hostile, mode, strconv.Itoa(victim)), env...)
}

func (a *arena) buildHostile() {
	a.Helper()
	out, err := exec.Command("gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-I../internal/abi", "-o", a.hostile,
		"testdata/hostile.c").CombinedOutput()
	if err != nil {
		a.Fatalf("%v\n%s", err, out)
	}
}

// crak runs the command as root.
func (a *arena) crak(args ...string) (stdout, stderr string) {
	a.Helper()
	path, err := filepath.Abs("../build/crak")
	a.must(err)
	cmd := exec.Command(path, args...)
	cmd.Dir = a.path("root")
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	cmd.Run()
	return out.String(), messages.String()
}

// picture is everything in a directory: names, modes, owners and contents.
func (a *arena) picture(dir string) string {
	a.Helper()
	var b strings.Builder
	a.must(filepath.Walk(dir, func(path string, info fs.FileInfo, err error) error {
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		content, _ := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %v %d:%d %q\n", path, info.Mode(), st.Uid, st.Gid, content)
		return nil
	}))
	return b.String()
}

// belongs checks that every file in a directory belongs to uid.
func (a *arena) belongs(dir string, uid int) {
	a.Helper()
	a.must(filepath.Walk(dir, func(path string, info fs.FileInfo, err error) error {
		if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != uid || int(st.Gid) != uid {
			a.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
		return err
	}))
}

// TestRootWritesAsUser: a program's settings name root's files. crak, run by root, cannot write there, as the program cannot.
func TestRootWritesAsUser(t *testing.T) {
	for name, setting := range map[string]string{
		"new log":       "CRAK_LOG=ROOT/new",
		"log":           "CRAK_LOG=ROOT/empty",
		"link to a log": "CRAK_LOG=link/new",
		"log by a link": "CRAK_LOG=file",
		"images":        "CRAK_DIR=ROOT",
		"link to them":  "CRAK_DIR=link",
	} {
		for _, compress := range []string{"none", "refused"} {
			t.Run(name+" "+compress, func(t *testing.T) {
				a := newArena(t)
				a.must(os.WriteFile(a.path("root", "empty"), nil, 0o600))
				a.must(os.Symlink(a.path("root"), a.path("alice", "link")))
				a.must(os.Symlink(a.path("root", "empty"), a.path("alice", "file")))
				for _, link := range []string{"link", "file"} {
					a.must(os.Lchown(a.path("alice", link), alice, alice))
				}
				before := a.picture(a.path("root"))
				setting := strings.ReplaceAll(setting, "ROOT", a.path("root"))
				p := a.start(alice, exec.Command("cat"), setting, "CRAK_COMPRESS="+compress)
				image, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
				if made := image != ""; made != (compress == "none" && !strings.Contains(name, "them") && name != "images") {
					t.Errorf("image %q: %s", image, stderr)
				}
				if after := a.picture(a.path("root")); after != before {
					t.Errorf("root's directory was\n%sand is\n%s", before, after)
				}
				a.belongs(a.path("alice"), alice)
				contains(t, a.picture(a.path("alice")), "crak.log") // the log is here if it could not be opened elsewhere
				p.echoes()
			})
		}
	}
}

// TestLogThroughLink: the directory of a log is the symbolic link of another user, who could make it lead to the user's own files.
func TestLogThroughLink(t *testing.T) {
	a := newArena(t)
	a.must(os.Mkdir(a.path("shared"), 0o700))
	a.must(os.Chmod(a.path("shared"), 0o777))
	a.must(os.Mkdir(a.path("alice", "private"), 0o700))
	a.must(os.Chown(a.path("alice", "private"), alice, alice))
	a.must(os.Symlink(a.path("alice", "private"), a.path("shared", "link")))
	a.must(os.Lchown(a.path("shared", "link"), bob, bob))
	p := a.start(alice, exec.Command("cat"), "CRAK_LOG="+a.path("shared", "link", "log"))
	if image, stderr := a.crak("checkpoint", strconv.Itoa(p.pid())); image == "" {
		t.Error(stderr)
	}
	if names, err := os.ReadDir(a.path("alice", "private")); err != nil || len(names) > 0 {
		t.Errorf("through bob's link: %v, %v", names, err)
	}
	if _, err := os.Stat(a.path("alice", "crak.log")); err != nil {
		t.Errorf("the log is not where it is without CRAK_LOG: %v", err)
	}
}

// TestOutput: the directory of --output is opened with root's rights.
func TestOutput(t *testing.T) {
	a := newArena(t)
	inner := a.path("root", "images")
	a.must(os.Mkdir(inner, 0o700))
	p := a.start(alice, exec.Command("cat"))
	_, stderr := a.crak("checkpoint", "--output", inner+"/mine", strconv.Itoa(p.pid()))
	contains(t, stderr, "permission denied")
	a.must(os.Chown(inner, alice, alice))
	image, stderr := a.crak("checkpoint", "--output", "images/mine", strconv.Itoa(p.pid()))
	if image != inner+"/mine\n" {
		t.Errorf("image %q: %s", image, stderr)
	}
	a.belongs(inner, alice)
}

// TestLogLines: no string that a program chooses can begin a line of the log.
func TestLogLines(t *testing.T) {
	a := newArena(t)
	line := regexp.MustCompile(`^\d{4}-\d\d-\d\dT[0-9:]+(Z|[+-]\d\d:\d\d) pid \d+: (image|no checkpoint:) [ -~]+$`)
	for _, dir := range []string{"there", "gone"} {
		path := a.path("alice", dir+"\nforged\x1b[2J")
		log := a.path("alice", dir+".log")
		p := a.start(alice, exec.Command("cat"), "CRAK_DIR="+path, "CRAK_LOG="+log)
		if dir == "gone" {
			a.must(os.Remove(path))
		}
		_, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
		text, err := os.ReadFile(log)
		a.must(err)
		for _, got := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
			if !line.MatchString(got) {
				t.Errorf("line %q in the log; %s", got, stderr)
			}
		}
	}
}

// TestPowerless: crak, run by root, has only the rights of the program's user in every thread, and that user can neither
// trace it nor read its memory.
func TestPowerless(t *testing.T) {
	a := newArena(t)
	p := a.lie("silent", 0)
	path, err := filepath.Abs("../build/crak")
	a.must(err)
	cmd := exec.Command(path, "checkpoint", strconv.Itoa(p.pid()))
	cmd.Dir = a.path("root")
	a.must(cmd.Start())
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	pid := cmd.Process.Pid
	for deadline := time.Now().Add(10 * time.Second); ; {
		status, err := proc.Read(pid, "status", proc.Status)
		a.must(err)
		syscall, err := proc.Read(p.pid(), "syscall", proc.Syscall)
		if err == nil && status.Uid[0] == alice && syscall.Number == unix.SYS_PAUSE || time.Now().After(deadline) {
			break
		}
		time.Sleep(time.Millisecond) // /proc has no event for this
	}
	tasks, err := proc.Tasks(pid)
	a.must(err)
	for _, tid := range tasks {
		s, err := proc.Read(pid, fmt.Sprintf("task/%d/status", tid), proc.Status)
		a.must(err)
		if s.Uid != [4]uint32{alice, alice, alice, alice} || s.Gid != s.Uid || len(s.Groups) != 1 || s.Groups[0] != alice+1 ||
			s.CapPrm|s.CapEff|s.CapInh|s.CapAmb != 0 {
			t.Errorf("thread %d: %+v", tid, s)
		}
	}
	spy := exec.Command("cat", proc.Path(pid, "mem"), proc.Path(pid, "environ"))
	spy.Dir = "/"
	spy.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: alice, Gid: alice}}
	if out, _ := spy.CombinedOutput(); strings.Count(string(out), "Permission denied") != 2 {
		t.Errorf("the user reads crak: %s", out)
	}
	if cwd, err := os.Readlink(proc.Path(pid, "cwd")); err != nil || cwd != "/" {
		t.Errorf("working directory %q: %v", cwd, err)
	}
}
