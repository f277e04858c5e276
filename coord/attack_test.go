package coord

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// TestHostileResident: the program's resident lies. There is no image, and crak reads no other process's memory.
func TestHostileResident(t *testing.T) {
	for mode, want := range map[string]string{
		"twin":  "is not its twin: its parent is process ",
		"child": "is not its twin: its exit signal is 17",
		"older": "is not its twin: it was started before the checkpoint",
		"other": "is not its twin: it has ",
		"tid":   "its resident lists thread ",
		"twice": "its resident lists thread ",
		"many":  "its resident says that 4000000000 threads are parked",
		"pid":   "its resident says that its PID is ",
	} {
		for _, victim := range []uint32{alice, bob} {
			t.Run(fmt.Sprint(mode, " ", victim), func(t *testing.T) {
				a := newArena(t)
				other := a.start(victim, exec.Command("cat"))
				p := a.lie(mode, other.pid())
				image, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
				if image != "" {
					t.Errorf("image %s", image)
				}
				contains(t, stderr, want)
				other.echoes()
			})
		}
	}
}

// TestTruthfulStranger: the program of TestHostileResident is checkpointed if it does not lie.
func TestTruthfulStranger(t *testing.T) {
	a := newArena(t)
	p := a.lie("honest", 0)
	image, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
	if image == "" {
		t.Errorf("no image: %s", stderr)
	}
}

// TestLockOfAnother: a user who may not trace a program cannot lock it.
func TestLockOfAnother(t *testing.T) {
	a := newArena(t)
	p := a.start(alice, exec.Command("cat"))
	namespace, err := os.Readlink(proc.Path(p.pid(), "ns/pid"))
	a.must(err)
	name := fmt.Sprintf("@crak.lock.%s.%d", namespace, p.pid()) // the lock of an earlier version
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	a.must(err)
	defer unix.Close(fd)
	a.must(unix.Bind(fd, &unix.SockaddrUnix{Name: name}))
	holder := exec.Command("sh", "-c", `for f in /proc/$1/environ /proc/$1/mem /proc/$1 /proc/$1/status; do
		exec 9<$f && flock -n 9 && sleep 1000 & done; sleep 0.3; echo held; wait`, "sh", strconv.Itoa(p.pid()))
	holder.Dir = "/"
	holder.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: bob, Gid: bob}}
	out, err := holder.StdoutPipe()
	a.must(err)
	a.must(holder.Start())
	defer func() { unix.Kill(-holder.Process.Pid, unix.SIGKILL); holder.Wait() }()
	out.Read(make([]byte, 8))
	if image, stderr := a.crak("checkpoint", strconv.Itoa(p.pid())); image == "" {
		t.Errorf("no image: %s", stderr)
	}
}
