package restore

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
	"crak.dev/crak/restore/handmade"
)

// TestMain calls Inner where the test executes itself as process 1 of a PID namespace, and brokenOff where it is a crak
// that is killed, and followStop where it follows a program.
func TestMain(m *testing.M) {
	if text := os.Getenv(timeoutVariable); text != "" {
		timeoutStuck, _ = time.ParseDuration(text)
	}
	if text := os.Getenv(pollTimeoutVariable); text != "" {
		pollTimeout, _ = time.ParseDuration(text)
		deadlockTimeout = 0
	}
	if len(os.Args) == 2 && os.Args[1] == InnerCommand {
		os.Exit(Inner(nil))
	}
	if order := os.Getenv(killedVariable); order != "" {
		os.Exit(brokenOff(order))
	}
	if os.Getenv(followVariable) != "" {
		os.Exit(followStop())
	}
	os.Exit(m.Run())
}

// aPid returns a PID that is free, and so are the 29 after it and the 20 before it. Another process on the machine may run this
// test, too.
func aPid(t *testing.T) image.Pid {
	t.Helper()
	const block = 50
	for range 1000 {
		first := 1000 + block*rand.IntN(600)
		free := true
		for pid := first; pid < first+block; pid++ {
			free = free && unix.Kill(pid, 0) == unix.ESRCH && unix.Kill(-pid, 0) == unix.ESRCH
		}
		if free {
			return image.Pid(first + 20)
		}
	}
	t.Fatal("no number is free")
	return 0
}

type outcome struct {
	status  unix.WaitStatus
	pid     int
	notices []string
	err     error
}

func run(path string, mode PidMode) outcome {
	return runWith(Options{Image: path, Pids: mode, Files: fd.Keep})
}

// modes returns the PID modes that this user can have on this machine.
func modes(t *testing.T) (all []PidMode) {
	t.Helper()
	if mayChoosePids() == nil {
		all = append(all, PidsKeep)
	}
	if exec.Command("unshare", "--user", "--pid", "--fork", "true").Run() == nil || os.Geteuid() == 0 {
		all = append(all, PidsFresh)
	}
	if len(all) == 0 {
		t.Skip("neither a capability to choose PIDs nor user namespaces")
	}
	return all
}

// noStray fails the test if a child is left. Process 1 of a namespace may end a moment after its program.
func noStray(t *testing.T, pid image.Pid) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		_, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err == unix.ECHILD {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a child is left")
		}
		time.Sleep(time.Millisecond) // a wait without WNOHANG would have no bound
	}
	if unix.Kill(int(pid), 0) != unix.ESRCH {
		t.Errorf("pid %d: still there", pid)
	}
}

func TestRun(t *testing.T) {
	for _, mode := range modes(t) {
		t.Run(string(mode), func(t *testing.T) {
			g := handmade.Group(aPid(t), me())
			o := run(writeImage(t, g, says), mode)
			if o.err != nil {
				t.Fatal(o.err)
			}
			if !o.status.Exited() || o.status.ExitStatus() != 42 {
				t.Errorf("status %#x, want exit status 42", o.status)
			}
			if mode == PidsKeep && o.pid != int(g.Root) {
				t.Errorf("pid %d, want %d", o.pid, g.Root)
			}
			noStray(t, g.Root)
		})
	}
}

// TestRunFails: a restart that fails gives the reason, and leaves no process.
func TestRunFails(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(g *image.Group)
		code  []byte
		file  string // of the image, to damage
		want  string
	}{
		{name: "mapping refused", want: "mmap(", spoil: func(g *image.Group) {
			p := &g.Processes[0]
			p.Mappings = append(p.Mappings, image.Mapping{Start: 1 << 47, End: 1<<47 + 0x1000, Kind: image.MappingAnonymous})
		}},
		{name: "crash", want: "killed by SIGILL", code: crashes},
		{name: "no working directory", want: "/nowhere", spoil: func(g *image.Group) { g.Processes[0].Cwd = "/nowhere" }},
		{name: "mapped file gone", want: "/gone.so", spoil: func(g *image.Group) {
			p := &g.Processes[0]
			p.Mappings = append(p.Mappings, image.Mapping{Start: handmade.DataAt + 0x10000, End: handmade.DataAt + 0x11000,
				Kind: image.MappingFile, File: &image.File{Path: "/gone.so"}})
		}},
		{name: "no such timer", want: "timer_create", spoil: func(g *image.Group) {
			g.Processes[0].Timers = []image.PosixTimer{{Clock: 99}}
		}},
		{name: "damaged pages", want: "damaged", file: "pages.bin"},
		{name: "damaged group", want: "damaged", file: "group.json"},
		{name: "no initiator", want: "none is the initiator", spoil: func(g *image.Group) { g.Processes[0].Threads[0].Parked.Flags = 0 }},
	}
	for _, mode := range modes(t) {
		for _, test := range tests {
			t.Run(string(mode)+"/"+test.name, func(t *testing.T) {
				g := handmade.Group(aPid(t), me())
				if test.spoil != nil {
					test.spoil(g)
				}
				code := test.code
				if code == nil {
					code = says
				}
				path := writeImage(t, g, code)
				if test.file != "" {
					spoil(t, filepath.Join(path, test.file))
				}
				o := run(path, mode)
				if o.err == nil || !strings.Contains(o.err.Error(), test.want) {
					t.Errorf("%v, want %q", o.err, test.want)
				}
				noStray(t, g.Root)
			})
		}
	}
}

// TestTaken restarts an image whose PID another process has.
func TestTaken(t *testing.T) {
	if mayChoosePids() != nil {
		t.Skip("no capability to choose PIDs")
	}
	path := writeImage(t, handmade.Group(image.Pid(os.Getppid()), me()), says)
	if o := run(path, PidsKeep); o.err == nil || !strings.Contains(o.err.Error(), "is taken") {
		t.Errorf("keep: %v", o.err)
	}
	o := run(path, PidsAuto)
	if o.err != nil || o.status.ExitStatus() != 42 || len(o.notices) != 1 || !strings.Contains(o.notices[0], "new PID namespace") {
		t.Errorf("auto: %+v", o)
	}
}

// TestAsUser runs the tests again as an ordinary user.
func TestAsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("is an ordinary user already")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "restore")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(dir, "tmp")
	program := filepath.Join(dir, "restore.test")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tmp, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.WriteFile(program, binary, 0o700), os.Chmod(program, 0o755)) // whatever the umask
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run=^(TestRun|TestRunTree|TestFamily|TestDeathSignal|TestRunFails|TestFailsUntouched)$", "-test.v")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "SKIP") {
		t.Errorf("%v\n%s", err, out)
	}
}
