package main

import (
	"bufio"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

// TestManyProcesses checkpoints and restarts 300 processes that share 100 descriptions, and a third as many. It compares the CPU time that
// crak takes: thrice as much is the aim, and nine times as much would come from a comparison of each process with each other one.
func TestManyProcesses(t *testing.T) {
	const processes, each = 300, 100
	// A pipe that the test has inherited from a shell, make or a CI runner would be an obstacle in the program.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	thirdSaved, thirdBack := many(t, processes/3, each)
	saved, back := many(t, processes, each)
	t.Logf("checkpoint %v, of a third of them %v; restart %v, of a third of them %v", saved, thirdSaved, back, thirdBack)
	if saved > 5*thirdSaved {
		t.Errorf("the checkpoint of %d processes takes %v, that of a third of them %v", processes, saved, thirdSaved)
	}
	if back > 5*thirdBack {
		t.Errorf("the restart of %d processes takes %v, that of a third of them %v", processes, back, thirdBack)
	}
}

// many checkpoints and restarts a group. It returns the least CPU time of several runs of crak. That of a restart includes the
// processes, which crak waits for.
func many(t *testing.T, processes, each int) (saved, back time.Duration) {
	dir := t.TempDir()
	program := filepath.Join(dir, "group_many")
	if out, err := exec.Command("gcc", "-std=gnu11", "-O2", "-I", "../../testdata/programs", "-o", program, "../../testdata/programs/group_many.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	library, err := filepath.Abs("../../build/libcrak.so")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, strconv.Itoa(processes-1), strconv.Itoa(each))
	cmd.Env, cmd.Dir = []string{"LD_PRELOAD=" + library, "CRAK_DIR=" + dir}, dir
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill() // the children end with it, because it has the only write end of their pipe
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "READY\n" {
		t.Fatalf("%q, %v", line, err)
	}
	for n := range 2 {
		args := []string{"checkpoint", "--output", filepath.Join(dir, strconv.Itoa(n)), strconv.Itoa(cmd.Process.Pid)}
		if n == 1 {
			args = append(args, "--kill")
		}
		m := measure(t, args...)
		if m.Status != 0 {
			t.Fatal(m.Said)
		}
		saved = least(saved, m.Time)
	}
	cmd.Wait()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	latest := filepath.Join(dir, "1")
	img, err := image.Open(latest)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(img.Group.Descriptions); n > each+10 {
		t.Errorf("%d descriptions in the image, and %d are shared", n, each)
	}
	img.Close()
	for range 2 {
		m := measure(t, "restart", latest)
		if m.Status != 0 || strings.Contains(m.Said, "hint") {
			t.Fatalf("status %d: %s", m.Status, m.Said)
		}
		back = least(back, m.Time)
	}
	return saved, back
}

func least(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}
