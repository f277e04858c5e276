package coord

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// environmentPhase makes the writer of environmentPid kill itself: "TWIN,PHASE". TWIN "kill" is --kill.
const environmentPhase = "COORD_TEST_PHASE"

// endsAt kills this process at the beginning of a phase.
func endsAt(phase string) func(string) {
	return func(now string) {
		if now == phase {
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	}
}

// environmentCall makes the writer of environmentPhase end before a system call in or after the phase: "NUMBER,INDEX,VALUE" is the
// call's number, and the index and value of one of its arguments.
const environmentCall = "COORD_TEST_CALL"

// endsAtCall has the kernel end this process, as SIGKILL does, before a system call.
func endsAtCall(phase, call string) func(string) {
	var number, index, value uint32
	if _, err := fmt.Sscanf(call, "%d,%d,%d", &number, &index, &value); err != nil {
		panic(err)
	}
	return func(now string) {
		if now != phase {
			return
		}
		const arguments, size = 16, 8 // in struct seccomp_data
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jf: 3},
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: arguments + size*index},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			panic(err)
		}
		_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
		if errno != 0 {
			panic(errno)
		}
	}
}

// TestKilled kills the writer at the beginning of each phase. All members run on, and there is an image only after the commit. The
// next checkpoint succeeds, and removes what the killed writer has left.
func TestKilled(t *testing.T) {
	before := []string{"find", "lock", "query", "survey", "plan", "create", "freeze", "capture", "save"}
	after := []string{"commit", "rename", "committed"}
	for twin, between := range map[string][]string{"auto": {"snapshot", "resume", "twins"}, "never": {"resume"}, "kill": nil} {
		p, pids := tree(t, 2)
		for _, phases := range [][]string{before, between, after} {
			for _, phase := range phases {
				t.Run(fmt.Sprintf("%s/%s", twin, phase), func(t *testing.T) { p.killedAt(t, pids, twin, phase) })
			}
		}
		p.ends()
	}
}

func (p *program) killedAt(t *testing.T, pids []int, twin, phase string) {
	images := p.images()
	p.writerKilled(twin+","+phase, "")
	for _, pid := range pids {
		runs(t, pid)
		noTwin(t, pid)
	}
	p.echoes()
	more := 0
	if phase == "committed" {
		more = 1
	}
	now := p.images()
	if len(now) != len(images)+more {
		t.Errorf("there were %q, and are %q", images, now)
	}
	result, err := Checkpoint(Options{Pid: p.pid()})
	if err != nil {
		t.Fatal(err)
	}
	img, err := image.Open(result.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if len(img.Group.Processes) != len(pids)+1 {
		t.Errorf("%d processes in the image", len(img.Group.Processes))
	}
	if hidden, _ := filepath.Glob(filepath.Join(p.dir, "*.*", ".*")); len(hidden) > 0 {
		t.Errorf("left over: %q", hidden)
	}
}

// writerKilled runs a writer that is killed. at is a value of environmentPhase, call one of environmentCall.
func (p *program) writerKilled(at, call string) {
	p.Helper()
	crak := exec.Command("/proc/self/exe")
	crak.Env = []string{environmentPid + "=" + strconv.Itoa(p.pid()), environmentPhase + "=" + at, environmentCall + "=" + call}
	out, err := crak.CombinedOutput()
	if status, ok := crak.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		p.Fatalf("the place did not come: %v, %q", err, out)
	}
}

// images are those that can be opened.
func (p *program) images() (all []string) {
	paths, _ := filepath.Glob(filepath.Join(p.dir, "*.*", "[0-9]*"))
	for _, path := range paths {
		if img, err := image.Open(path); err == nil {
			img.Close()
			all = append(all, path)
		}
	}
	return all
}

// noTwin waits until a process has no children: a twin may exit a moment after the writer, and its parent reaps it when it has got
// processor time.
func noTwin(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(childrenOf(pid)) > 0; time.Sleep(time.Millisecond) { // it is no child of ours
		if time.Now().After(deadline) {
			t.Fatalf("pid %d has children %d", pid, childrenOf(pid))
		}
	}
}
