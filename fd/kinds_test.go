package fd_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"crak.dev/crak/fd"
	"crak.dev/crak/image"
)

func TestDirectoryGoesOnWhereItWas(t *testing.T) {
	dir := t.TempDir()
	for i := range 300 {
		must(t, os.WriteFile(fmt.Sprintf("%s/entry-%03d", dir, i), nil, 0o600))
	}
	f := openedAt(t, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	var buffer [4096]byte
	if _, err := unix.Getdents(int(f.Fd()), buffer[:]); err != nil {
		t.Fatal(err)
	}
	d := captured(t, ourselves()).description(t, f)
	if d.Offset == 0 {
		t.Fatal("no position after a first getdents")
	}
	got := made(t, d, &fd.Env{})
	if diff := cmp.Diff(shown(t, f), shown(t, got)); diff != "" {
		t.Errorf("before and after (-+):\n%s", diff)
	}
	want, err := f.Readdirnames(-1)
	must(t, err)
	rest, err := got.Readdirnames(-1)
	must(t, err)
	if !slices.Equal(want, rest) {
		t.Errorf("went on with %d entries, want %d", len(rest), len(want))
	}
}

func TestDirectoryThatChanged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	must(t, os.Mkdir(dir, 0o700))
	f := openedAt(t, dir, unix.O_RDONLY)
	d := captured(t, ourselves()).description(t, f)
	must(t, os.Remove(dir))
	if got := fd.Check(d, &fd.Env{}); len(got) != 1 || !strings.Contains(got.Error(), "is gone") {
		t.Errorf("gone: %v", got)
	}
	must(t, os.Mkdir(dir+"x", 0o700))
	must(t, os.Rename(dir+"x", dir))
	if got := fd.Check(d, &fd.Env{}); len(got) != 0 {
		t.Errorf("made anew, position 0: %v", got)
	}
	d.Offset = 1
	if got := fd.Check(d, &fd.Env{}); len(got) != 1 {
		t.Errorf("made anew, position 1: %v", got)
	}
}

func TestDevices(t *testing.T) {
	for _, path := range []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"} {
		f := openedAt(t, path, unix.O_RDWR)
		got := made(t, captured(t, ourselves()).description(t, f), &fd.Env{})
		if diff := cmp.Diff(shown(t, f), shown(t, got)); diff != "" {
			t.Errorf("%s before and after (-+):\n%s", path, diff)
		}
	}
}

func TestPathOnly(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink("nowhere", dir+"/link"))
	must(t, unix.Mkfifo(dir+"/fifo", 0o600))
	for _, path := range []string{dir, dir + "/link", dir + "/fifo"} {
		f := openedAt(t, path, unix.O_PATH|unix.O_NOFOLLOW)
		got := made(t, captured(t, ourselves()).description(t, f), &fd.Env{})
		if diff := cmp.Diff(shown(t, f), shown(t, got)); diff != "" {
			t.Errorf("before and after (-+):\n%s", diff)
		}
	}
}

func TestSpecialFiles(t *testing.T) {
	f := at(t, openedAt(t, "/proc/meminfo", unix.O_RDONLY), 10)
	got := made(t, captured(t, ourselves()).description(t, f), &fd.Env{})
	if diff := cmp.Diff(shown(t, f), shown(t, got)); diff != "" {
		t.Errorf("before and after (-+):\n%s", diff)
	}
	other := openedAt(t, "/proc/1/status", unix.O_RDONLY)
	if got := captured(t, ourselves()).obstacleOf(other); !strings.Contains(got, "about a process outside") {
		t.Errorf("/proc/1/status: obstacle %q", got)
	}
	own := openedAt(t, "/proc/self/status", unix.O_RDONLY)
	want := fmt.Sprintf("open(%q, 0x88000) dup3(r0, 101, O_CLOEXEC) = 101 dup3(r0, 7, 0) = 7 close(r0)", fmt.Sprintf("/proc/%d/status", os.Getpid()))
	d := captured(t, ourselves()).description(t, own)
	d.ID = 1
	d.Record = json.RawMessage(strings.Replace(string(d.Record), fmt.Sprintf(`"process":%d`, os.Getpid()), `"process":412`, 1)) // attached's
	if got := attached(t, d); got != want {
		t.Errorf("/proc/self/status: %s, want %s", got, want)
	}
}

func TestMemfd(t *testing.T) {
	n, err := unix.MemfdCreate("a name (deleted)", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	must(t, err)
	f := os.NewFile(uintptr(n), "memfd")
	t.Cleanup(func() { f.Close() })
	must(t, second(f.WriteString("content")))
	must(t, second(unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK)))
	p := captured(t, ourselves())
	d := p.description(t, f)
	want := []image.MemoryObject{{
		ID: 1, Kind: image.MemoryMemfd, Name: "a name (deleted)", Size: 7, Mode: 0o777, Seals: unix.F_SEAL_SHRINK,
	}}
	if diff := cmp.Diff(want, p.Memory); diff != "" {
		t.Errorf("memory objects (-want +got):\n%s", diff)
	}
	got := made(t, d, &fd.Env{Memory: func(image.MemoryID) (*os.File, error) { return f, nil }})
	if diff := cmp.Diff(shown(t, f), shown(t, got)); diff != "" {
		t.Errorf("before and after (-+):\n%s", diff)
	}
}

// outside starts a program with three descriptors, and captures it without freezing it.
func outside(t *testing.T, attributes *syscall.SysProcAttr, files [3]*os.File) picture {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	cmd.SysProcAttr = attributes
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return captured(t, &fd.Member{Pid: cmd.Process.Pid, Inside: cmd.Process.Pid, Proc: fmt.Sprintf("/proc/%d", cmd.Process.Pid)})
}

func pipeOf(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func TestPipesToTheOutsideAreTakenOver(t *testing.T) {
	inRead, inWrite := pipeOf(t)
	outRead, outWrite := pipeOf(t)
	other := exec.Command("sleep", "60")
	other.ExtraFiles = []*os.File{inWrite, outRead}
	must(t, other.Start())
	t.Cleanup(func() {
		other.Process.Kill()
		other.Wait()
	})
	inWrite.Close()
	outRead.Close()
	p := outside(t, nil, [3]*os.File{inRead, outWrite, outWrite})
	newRead, newWrite := pipeOf(t)
	env := &fd.Env{Stdio: [3]*os.File{nil, newWrite, newWrite}}
	got := made(t, p.of[1], env)
	must(t, second(got.WriteString("hello")))
	var buffer [16]byte
	if n, err := newRead.Read(buffer[:]); err != nil || string(buffer[:n]) != "hello" {
		t.Errorf("read %q, %v", buffer[:n], err)
	}
	if got := made(t, p.of[0], env); got.Name() != os.DevNull {
		t.Errorf("stdin without one of crak's is %s", got.Name())
	}
}

func TestOtherPipesAreRefused(t *testing.T) {
	r, w := pipeOf(t)
	other := exec.Command("sleep", "60")
	other.Stdin = r
	must(t, other.Start())
	t.Cleanup(func() {
		other.Process.Kill()
		other.Wait()
	})
	want := fmt.Sprintf("the program has both ends, and pid %d (\"sleep\") has it open, too", other.Process.Pid)
	if got := captured(t, ourselves()).obstacleOf(w); !strings.Contains(got, want) {
		t.Errorf("obstacle %q, want %q", got, want)
	}
	r.Close()
	if got := captured(t, ourselves()).obstacleOf(w); !strings.Contains(got, "its other end is outside the program") {
		t.Errorf("obstacle %q", got)
	}
}

// pty opens a pseudo-terminal.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master = openedAt(t, "/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY)
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	return master, openedAt(t, fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY)
}

// TestReadOnlyMaster: a process that may not write to a master cannot say what input waits in the pseudo-terminal.
func TestReadOnlyMaster(t *testing.T) {
	master := openedAt(t, "/dev/ptmx", unix.O_RDONLY|unix.O_NOCTTY)
	if got, want := captured(t, ourselves()).obstacleOf(master), "its master is not open for reading and writing"; !strings.Contains(got, want) {
		t.Errorf("obstacle %q, want %q", got, want)
	}
}

func TestControllingTerminal(t *testing.T) {
	_, slave := pty(t)
	p := outside(t, &syscall.SysProcAttr{Setsid: true, Setctty: true}, [3]*os.File{slave, slave, slave})
	var r fd.Terminal
	must(t, json.Unmarshal(p.of[1].Record, &r))
	want := fd.Terminal{Path: slave.Name(), Controlling: true, Standard: 0, Foreground: true}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	_, other := pty(t)
	got := made(t, p.of[1], &fd.Env{Terminal: other})
	if diff := cmp.Diff(shown(t, other), shown(t, got)); diff != "" {
		t.Errorf("crak restart's terminal and what the program got (-+):\n%s", diff)
	}
	if got := made(t, p.of[1], &fd.Env{}); got.Name() != os.DevNull {
		t.Errorf("without a terminal: %s", got.Name())
	}
}

func TestTerminalModes(t *testing.T) {
	_, slave := pty(t)
	must(t, unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 31, Col: 97}))
	saved, err := fd.ReadModes(slave)
	must(t, err)
	if saved.Rows != 31 || saved.Columns != 97 {
		t.Errorf("%d rows, %d columns", saved.Rows, saved.Columns)
	}
	raw, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	must(t, err)
	raw.Lflag &^= unix.ICANON | unix.ECHO
	must(t, unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, raw))
	must(t, saved.Set(slave))
	again, err := fd.ReadModes(slave)
	must(t, err)
	if diff := cmp.Diff(saved, again); diff != "" {
		t.Errorf("modes before and after (-+):\n%s", diff)
	}
}

func TestLocks(t *testing.T) {
	f := opened(t, unix.O_RDWR)
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_SH))
	ofd := unix.Flock_t{Type: unix.F_WRLCK, Start: 3, Len: 4}
	must(t, unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &ofd))
	posix := unix.Flock_t{Type: unix.F_RDLCK, Start: 8}
	must(t, unix.FcntlFlock(f.Fd(), unix.F_SETLK, &posix))
	before := shown(t, f) // here the writer is the program, so closing a handle releases the POSIX locks of the process
	d := captured(t, ourselves()).description(t, f)
	want := []image.Lock{
		{Type: "POSIX", Pid: image.Pid(os.Getpid()), Start: 8, End: -1},
		{Type: "OFDLCK", Write: true, Start: 3, End: 6},
		{Type: "FLOCK", Start: 0, End: -1},
	}
	slices.SortFunc(d.Locks, func(a, b image.Lock) int { return strings.Compare(b.Type, a.Type) })
	if diff := cmp.Diff(want, d.Locks); diff != "" {
		t.Fatalf("locks (-want +got):\n%s", diff)
	}
	if _, err := fd.Make(d, &fd.Env{}); err == nil || !strings.Contains(err.Error(), "has it locked") {
		t.Errorf("taken while they are held: %v", err)
	}
	must(t, f.Close())
	got := made(t, d, &fd.Env{})
	spec := fd.Flock(d.Locks[0])
	must(t, unix.FcntlFlock(got.Fd(), unix.F_SETLK, &spec))
	must(t, unix.Flock(int(got.Fd()), unix.LOCK_SH))
	if diff := cmp.Diff(sorted(before), sorted(shown(t, got))); diff != "" {
		t.Errorf("before and after (-+):\n%s", diff)
	}
}

// sorted is the lines of shown, without the numbers of the locks.
func sorted(picture string) []string {
	lines := strings.Split(picture, "\n")
	for i, line := range lines {
		if before, lock, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(before, "lock:") {
			lines[i] = lock
		}
	}
	slices.Sort(lines)
	return lines
}

func TestOwner(t *testing.T) {
	f := opened(t, unix.O_RDONLY)
	must(t, second(unix.FcntlInt(f.Fd(), unix.F_SETOWN, os.Getpid())))
	must(t, second(unix.FcntlInt(f.Fd(), unix.F_SETSIG, int(unix.SIGUSR1))))
	uid := uint32(os.Geteuid())
	want := &image.Owner{Type: 1, Pid: image.Pid(os.Getpid()), Signal: int(unix.SIGUSR1), UID: &uid}
	if diff := cmp.Diff(want, captured(t, ourselves()).description(t, f).Owner); diff != "" {
		t.Errorf("owner (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	number := func(n int, err error) *os.File {
		t.Helper()
		must(t, err)
		f := os.NewFile(uintptr(n), "")
		t.Cleanup(func() { f.Close() })
		return f
	}
	for want, f := range map[string]*os.File{
		"pidfd":            number(unix.PidfdOpen(1, 0)), // which is not of the group
		"open for writing": openedAt(t, "/proc/self/comm", unix.O_RDWR),
	} {
		if got := captured(t, ourselves()).obstacleOf(f); !strings.Contains(got, want) || !strings.Contains(got, "; ") {
			t.Errorf("obstacle %q, want one about %q and what to do", got, want)
		}
	}
}

// TestRefusedSockets: sockets of protocols that CRAK does not support are refused by the protocol's name. Not every kernel has all of them.
func TestRefusedSockets(t *testing.T) {
	socket := func(family, kind, protocol int) func(*testing.T) (int, error) {
		return func(*testing.T) (int, error) { return unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol) }
	}
	for want, open := range map[string]func(*testing.T) (int, error){
		"AF_VSOCK socket":                socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0),
		"SCTP socket":                    socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP),
		"SCTPv6 socket":                  socket(unix.AF_INET6, unix.SOCK_SEQPACKET, unix.IPPROTO_SCTP),
		"MPTCP socket":                   socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP),
		"MPTCPv6 socket":                 socket(unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_MPTCP),
		"XDP socket":                     socket(unix.AF_XDP, unix.SOCK_RAW, 0),
		`the upper layer protocol "tls"`: kernelTLS,
	} {
		t.Run(want, func(t *testing.T) {
			n, err := open(t)
			if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT) || errors.Is(err, unix.ENOENT) {
				t.Skipf("this kernel does not have it: %v", err)
			}
			if errors.Is(err, unix.EPERM) {
				t.Skipf("only root may make it: %v", err)
			}
			must(t, err)
			f := os.NewFile(uintptr(n), "")
			defer f.Close()
			if got := captured(t, ourselves()).obstacleOf(f); !strings.Contains(got, want) || !strings.Contains(got, "; ") {
				t.Errorf("obstacle %q, want one about %q and what to do", got, want)
			}
		})
	}
}

// kernelTLS is a connection to which the upper layer protocol of TLS was added.
func kernelTLS(t *testing.T) (int, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	n, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Connect(n, &unix.SockaddrInet4{Port: l.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}))
	peer, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { peer.Close() })
	if err = unix.SetsockoptString(n, unix.SOL_TCP, unix.TCP_ULP, "tls"); err != nil {
		unix.Close(n)
	}
	return n, err
}

func TestDamagedRecordsAreErrors(t *testing.T) {
	for _, kind := range []string{"regular", "directory", "path", "device", "terminal", "pipe", "pipe_end", "inet_socket", "netlink_socket", "packet_socket", "special", "memfd", "pidfd", "inotify", "namespace", "unsupported", "x"} {
		for _, text := range []string{"", "{", "null", `{"standard":-5}`, `{"file":{"path":""}}`, `{"file":{"path":5}}`, `{"file":{"deleted":true}}`} {
			d := image.Description{ID: 1, Kind: kind, Record: json.RawMessage(text)}
			f, err := fd.Make(d, &fd.Env{})
			if err == nil && f.Name() != os.DevNull && (text != "null" || kind != "pidfd" && kind != "inotify") { // which are of an ended process, and without watches
				t.Errorf("%s with record %q: made %s", kind, text, f.Name())
			}
			if err == nil {
				f.Close()
			}
			fd.Check(d, &fd.Env{})
			fd.Describe(d)
		}
	}
}
