package shimtest

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/abi"
	"crak.dev/crak/internal/resident"
)

// environmentAttack is an environment variable. With it, the test program attacks a process as another user, and prints the result.
const environmentAttack = "SHIMTEST_ATTACK"

const someUser = 12345

// command freezes a process as crak does, and orders its resident to open and read a file.
func command(pid int, path string) (string, error) {
	l, err := resident.Listen(new(resident.Key))
	if err != nil {
		return "", err
	}
	defer l.Close()
	if err := l.Order(pid, pid, abi.OrderFreeze); err != nil {
		return "", err
	}
	c, err := l.Accept(pid, testTimeout)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Frozen(testTimeout); err != nil {
		return "", err
	}
	data := append([]byte(path), make([]byte, 64)...)
	room := uint64(len(path) + 1)
	opened, err := c.Calls([]abi.Call{{Number: unix.SYS_OPEN, Relative: abi.Data(0), Args: [6]uint64{0, unix.O_RDONLY}}}, data)
	if err != nil || opened[0] < 0 {
		return "", fmt.Errorf("open: %d, %w", opened, err)
	}
	read, err := c.Calls([]abi.Call{
		{Number: unix.SYS_READ, Relative: abi.Data(1), Args: [6]uint64{uint64(opened[0]), room, 32}},
		{Number: unix.SYS_CLOSE, Args: [6]uint64{uint64(opened[0])}},
	}, data)
	if err != nil || read[0] < 0 {
		return "", fmt.Errorf("read: %d, %w", read, err)
	}
	return string(data[room : room+uint64(read[0])]), nil
}

// attack orders a freeze, sends a guessed proof, and asks for system calls. It returns all output of the resident.
func attack(pid int) ([]byte, error) {
	peer, err := ordered(pid)
	if err != nil {
		return nil, err
	}
	defer unix.Close(peer)
	say := make([]byte, abi.MessageSize+abi.SecretSize, 256)
	binary.NativeEndian.PutUint32(say, uint32(abi.Proof))
	binary.NativeEndian.PutUint64(say[8:], abi.SecretSize)
	calls := make([]byte, abi.MessageSize+abi.CallSize)
	binary.NativeEndian.PutUint32(calls, uint32(abi.Calls))
	binary.NativeEndian.PutUint32(calls[4:], 1)
	binary.NativeEndian.PutUint64(calls[8:], abi.CallSize)
	binary.NativeEndian.PutUint32(calls[abi.MessageSize:], unix.SYS_GETPID)
	if _, err := unix.Write(peer, append(say, calls...)); err != nil {
		return nil, err
	}
	return heard(peer)
}

// ordered orders a freeze and accepts the first connection.
func ordered(pid int) (peer int, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	name := uint64(os.Getpid())<<32 | uint64(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@%s%016x", abi.SocketPrefix, name)}); err != nil {
		return -1, err
	}
	if err := unix.Listen(fd, 1); err != nil {
		return -1, err
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}); err != nil {
		return -1, err
	}
	for range 10 { // an order can be lost; a writer sends it again, too
		if err := order(pid, abi.OrderFreeze, name); err != nil {
			return -1, err
		}
		for {
			if peer, _, err = unix.Accept(fd); err != unix.EINTR {
				break
			}
		}
		if err != unix.EAGAIN {
			break
		}
	}
	return peer, err
}

// order queues the freeze signal to a process (abi.h).
func order(pid int, order uint32, value uint64) error {
	var info [128]byte
	for i, word := range map[int]int32{0: abi.FreezeSignal, 1: int32(order), 2: -1 /* SI_QUEUE */, abi.OrderBlocked: -1} {
		binary.NativeEndian.PutUint32(info[4*i:], uint32(word))
	}
	binary.NativeEndian.PutUint64(info[24:], value)
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(pid), uintptr(pid), abi.FreezeSignal,
		uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// heard returns all output of the resident until it closes the connection.
func heard(peer int) (all []byte, err error) {
	limit := unix.NsecToTimeval(testTimeout.Nanoseconds())
	unix.SetsockoptTimeval(peer, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	for b := make([]byte, 4096); ; {
		n, err := unix.Read(peer, b)
		switch {
		case err == unix.ECONNRESET || err == nil && n == 0: // the resident did not read the order
			return all, nil
		case err != nil:
			return all, fmt.Errorf("the resident does not hang up: %w", err)
		}
		all = append(all, b[:n]...)
	}
}

// attackFromEnvironment is the attacker's main.
func attackFromEnvironment() (done bool) {
	pid, err := strconv.Atoi(os.Getenv(environmentAttack))
	if err != nil {
		return false
	}
	said, err := attack(pid)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(said)
	return true
}

// refuses attacks a program as a user without capabilities. The resident must send a challenge and nothing else.
func refuses(t *testing.T, s *subject) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{fmt.Sprintf("%s=%d", environmentAttack, s.pid())}
	cmd.Dir = "/"
	cmd.SysProcAttr = userIfRoot()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	onlyChallenge(t, out)
}

func onlyChallenge(t *testing.T, said []byte) {
	t.Helper()
	if len(said) != abi.MessageSize+abi.ChallengeSize || binary.NativeEndian.Uint32(said) != uint32(abi.Challenge) {
		t.Errorf("the resident says %x", said)
	}
}

// TestWhoMayCommand: a process that may not trace a program cannot command its resident.
func TestWhoMayCommand(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root is needed to start programs with privileges")
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("for root's eyes"), 0o600); err != nil {
		t.Fatal(err)
	}
	user := &syscall.Credential{Uid: someUser, Gid: someUser}
	for _, program := range []struct {
		name, mode string
		attributes *syscall.SysProcAttr
	}{
		{"ambient capabilities", "wait", &syscall.SysProcAttr{Credential: user,
			AmbientCaps: []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH}}},
		{"effective user root", "effective", nil},
		{"not dumpable", "undumpable", &syscall.SysProcAttr{Credential: user, AmbientCaps: []uintptr{unix.CAP_DAC_READ_SEARCH}}},
	} {
		t.Run(program.name, func(t *testing.T) {
			s := startAs(t, program.attributes, program.mode)
			s.await("READY")
			refuses(t, s)
			if text, err := command(s.pid(), secret); err != nil || text != "for root's eyes" {
				t.Errorf("root: %q, %v", text, err)
			}
			s.proceed()
			s.await("DONE")
		})
	}
}

// TestNotDumpable: the user of a program that is not dumpable cannot command it. The writer that the program starts can.
func TestNotDumpable(t *testing.T) {
	s := startAs(t, userIfRoot(), "undumpable")
	s.await("READY")
	refuses(t, s)
	s.proceed()
	s.await("DONE")
	if result := s.await("RESULT"); result != "0" {
		t.Errorf("its own checkpoint: %s; log:\n%s", result, s.log())
	}
}

// TestChangedUser: a program that root started, and that became a user, gives this user no image of its memory. The kernel
// has made it not dumpable: its memory may contain what only root may read.
func TestChangedUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("root: the program changes its user")
	}
	s := startAs(t, nil, "dropped")
	s.await("READY")
	for path, mode := range map[string]os.FileMode{filepath.Dir(s.dir): 0o711, s.dir: 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	s.proceed()
	s.await("DONE")
	if result := s.await("RESULT"); result == "0" || !strings.Contains(s.log(), "not dumpable") {
		t.Errorf("its own checkpoint: %s; log:\n%s", result, s.log())
	}
	if images, _ := filepath.Glob(filepath.Join(s.dir, "*.*/[0-9]*")); len(images) > 0 {
		t.Errorf("images %q", images)
	}
}

func userIfRoot() *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someUser, Gid: someUser}}
}

// TestForkMeanwhile: a child that another thread forks does not keep the resident's socket.
func TestForkMeanwhile(t *testing.T) {
	s := start(t, true, "forks")
	s.await("READY")
	s.await("STARTED 0")
	peer, err := ordered(s.pid())
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(peer)
	s.await("LEFT 0")
}

// TestNoProof: a peer that sends no proof, or a wrong one, delays the program only for a moment.
func TestNoProof(t *testing.T) {
	s := start(t, true, "wait")
	s.await("READY")
	for _, say := range [][]byte{nil, make([]byte, abi.MessageSize)} {
		peer, err := ordered(s.pid())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(peer, say); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		said, err := heard(peer)
		unix.Close(peer)
		if err != nil {
			t.Fatal(err)
		}
		onlyChallenge(t, said)
		if d := time.Since(begun); d > 10*time.Second {
			t.Errorf("the program was held up for %v", d)
		}
	}
	s.proceed()
	s.await("DONE")
}
