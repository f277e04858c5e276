package rights

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const (
	victim = 41234 // a user that no machine has
	group  = 41235
	also   = 41236
)

var asVictim = User{UID: [3]uint32{victim, victim, victim}, GID: [3]uint32{group, group, group}, Groups: []uint32{also}}

const childVariable = "CRAK_TEST_BECOME"

// TestMain is the process that becomes another user, when it is told so.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	for range 4 { // threads of its own
		go func() { runtime.LockOSThread(); select {} }()
	}
	runtime.Gosched()
	if err := asVictim.Become(); err != nil {
		println(err.Error())
		os.Exit(1)
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n") {
			name, _, _ := strings.Cut(line, ":")
			if slices.Contains([]string{"Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb"}, name) {
				println(strings.Join(strings.Fields(line), " "))
			}
		}
	}
	if syscall.Setresuid(0, 0, 0) == nil {
		println("root again")
	}
	os.Exit(0)
}

// TestBecome: every thread is the other user, without a way back.
func TestBecome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	want := []string{
		"Uid: 41234 41234 41234 41234", "Gid: 41235 41235 41235 41235", "Groups: 41236",
		"CapInh: 0000000000000000", "CapPrm: 0000000000000000", "CapEff: 0000000000000000", "CapAmb: 0000000000000000",
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) < 5*len(want) {
		t.Errorf("%d lines, want those of 5 threads", len(lines))
	}
	for i, line := range lines {
		if line != want[i%len(want)] {
			t.Fatalf("line %d: %q, want %q", i, line, want[i%len(want)])
		}
	}
}

// TestOwner has no account for the user of a file, and one for root.
func TestOwner(t *testing.T) {
	if u, err := Owner("/"); err != nil || u.UID[0] != 0 || u.GID[0] != 0 {
		t.Errorf("/: %+v, %v", u, err)
	}
	if os.Geteuid() != 0 {
		return
	}
	path := t.TempDir()
	if err := os.Chown(path, victim, group); err != nil {
		t.Fatal(err)
	}
	if u, err := Owner(path); err != nil || u.UID != asVictim.UID || u.GID != asVictim.GID || len(u.Groups) != 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestDo: a function runs as the other user, and what it calls by Own and all other threads keep their rights. It is repeated, because
// any thread may run it, the main thread too.
func TestDo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		err := asVictim.Do(func() error {
			if _, err := os.ReadFile(path); !os.IsPermission(err) {
				t.Errorf("it can read root's file: %v", err)
			}
			Own(func() {
				if _, err := os.ReadFile(path); err != nil {
					t.Error(err)
				}
			})
			text, err := os.ReadFile("/proc/thread-self/status")
			for _, want := range []string{"Uid:\t41234\t41234\t41234\t41234\n", "Gid:\t41235\t41235\t41235\t41235\n", "Groups:\t41236", "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n"} {
				if !strings.Contains(string(text), want) {
					t.Errorf("no %q in its status", want)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	for _, task := range tasks {
		if text, err := os.ReadFile(task); err == nil && !strings.Contains(string(text), "Uid:\t0\t0\t0\t0\n") {
			t.Errorf("%s: another user's", task)
		}
	}
}
