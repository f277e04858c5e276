package coord

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// beside is root's or alice's shell that copies its input, and has another command as a child.
func (a *arena) beside(uid int, command string, env ...string) *program {
	a.Helper()
	dir := a.path(map[int]string{0: "root", alice: "alice"}[uid])
	cmd := exec.Command("bash", "-c", command+" </dev/null >/dev/null 2>&1 & cat; kill -KILL $!")
	cmd.Dir = dir
	cmd.Env = append([]string{"CRAK_DIR=" + dir, "LD_PRELOAD=" + a.library, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, env...)
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return start(a.T, true, cmd)
}

// descendant waits until a descendant of a process has a name and an effective user.
func (p *program) descendant(name string, uid uint32) int {
	p.Helper()
	// /proc has no event for this
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, pid := range familyOf(p.pid()) {
			if s, err := proc.Read(pid, "status", proc.Status); err == nil && s.Uid[1] == uid && s.Name == name {
				return pid
			}
		}
	}
	p.Fatalf("no descendant %s of user %d", name, uid)
	return 0
}

// TestMemberInNamespace: a descendant in a namespace that the root of its group is not in is refused by name.
func TestMemberInNamespace(t *testing.T) {
	for kind, flags := range map[string]string{"user": "-U", "mnt": "-Um", "pid": "-Upf --kill-child", "cgroup": "-UC", "time": "-UTf --kill-child"} {
		t.Run(kind, func(t *testing.T) {
			a := newArena(t)
			p := a.beside(alice, "exec unshare "+flags+" sleep 1000")
			p.descendant("sleep", alice)
			path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
			contains(t, stderr, " namespace than pid "+strconv.Itoa(p.pid())+": all members of a group must be in the same")
			if path != "" {
				t.Errorf("image %q", path)
			}
			p.echoes()
			p.ends()
		})
	}
}

// TestHostileMember: the resident of one member of a group lies. There is no image, nobody reads another user's memory, and the
// other members run on. The group is alice's, or that of root's program with a process of alice.
func TestHostileMember(t *testing.T) {
	for uid, command := range map[int]string{
		alice: "exec ",
		0:     fmt.Sprintf("exec setpriv --reuid %d --regid %[1]d --clear-groups ", alice),
	} {
		t.Run(strconv.Itoa(uid), func(t *testing.T) { testHostileMember(t, uid, command) })
	}
}

// TestSlowMember: a member of a group does not tell that it is frozen. The others are not kept frozen for longer than timeoutGroup,
// however many such members there are.
func TestSlowMember(t *testing.T) {
	a := newArena(t)
	a.buildHostile()
	a.must(unix.Mkfifo(a.path("fifo"), 0o600))
	a.must(os.Chown(a.path("fifo"), alice, alice))
	p := a.beside(alice, fmt.Sprintf("LD_PRELOAD= exec bash -c 'exec %s stalls <>%s'", a.hostile, a.path("fifo")))
	pid := p.descendant("libcrak-hostile", alice)
	timeout := timeoutGroup
	timeoutGroup = 2 * time.Second
	t.Cleanup(func() { timeoutGroup = timeout })
	begun := time.Now()
	_, err := Checkpoint(Options{Pid: p.pid()})
	if took := time.Since(begun); took > timeoutFreeze/2 {
		t.Errorf("the checkpoint has ended after %v", took)
	}
	contains(t, fmt.Sprint(err), fmt.Sprintf("pid %d: the program does not answer", pid))
	p.echoes()
}

// TestInventedMessages: a member of another user has a message queue of root open, which it may only read. Its resident says that the queue
// has messages that it has made up. A restart by root would put them into the queue.
func TestInventedMessages(t *testing.T) {
	a := newArena(t)
	a.buildHostile()
	name, err := unix.BytePtrFromString(fmt.Sprintf("crak-invented-%d", os.Getpid()))
	a.must(err)
	limits := [8]int64{1: 2, 2: 16}
	open := func(flags uintptr) *os.File {
		n, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), flags|unix.O_CLOEXEC, 0o644, uintptr(unsafe.Pointer(&limits[0])), 0, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		return os.NewFile(n, "queue")
	}
	writes := open(unix.O_RDWR | unix.O_CREAT | unix.O_EXCL)
	t.Cleanup(func() { unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)), 0, 0) })
	if _, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, writes.Fd(), uintptr(unsafe.Pointer(name)), 4, 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
	queue := open(unix.O_RDONLY)
	cmd := exec.Command("bash", "-c", "LD_PRELOAD= "+becomes(alice)+a.hostile+" invents <&4 4<&- >/dev/null 2>&1 & exec 3<&- 4<&-; cat; kill -KILL $!")
	cmd.Dir = a.path("root")
	cmd.Env = []string{"CRAK_DIR=" + cmd.Dir, "LD_PRELOAD=" + a.library, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	waits, input, err := os.Pipe()
	a.must(err)
	defer input.Close()
	cmd.ExtraFiles = []*os.File{queue, waits}
	p := start(t, true, cmd)
	for _, f := range []*os.File{writes, queue, waits} { // no process outside has the queue open
		a.must(f.Close())
	}
	p.descendant("libcrak-hostile", alice)
	path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
	if path != "" {
		t.Errorf("image %s", path)
	}
	contains(t, stderr, "may not open it for reading and writing")
	p.echoes()
}

func testHostileMember(t *testing.T, uid int, command string) {
	for mode, want := range map[string]string{
		"twin":    "is not its twin: its parent is process ",
		"child":   "is not its twin: its exit signal is 17",
		"other":   "is not its twin: it has ",
		"tid":     "its resident lists thread ",
		"pid":     "its resident says that its PID is ",
		"answers": "signal 33 is blocked",
	} {
		t.Run(mode, func(t *testing.T) {
			a := newArena(t)
			a.buildHostile()
			other := a.start(bob, exec.Command("cat"))
			a.must(unix.Mkfifo(a.path("fifo"), 0o666))
			a.must(os.Chmod(a.path("fifo"), 0o666))
			p := a.beside(uid, fmt.Sprintf("LD_PRELOAD= "+command+"bash -c 'exec %s %s %d <>%s'", a.hostile, mode, other.pid(), a.path("fifo")))
			pid := p.descendant("libcrak-hostile", alice)
			path, stderr := a.crak("checkpoint", strconv.Itoa(p.pid()))
			if path != "" {
				t.Errorf("image %s", path)
			}
			contains(t, stderr, want)
			contains(t, stderr, "pid "+strconv.Itoa(pid))
			other.echoes()
			p.echoes()
		})
	}
}
