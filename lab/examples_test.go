package lab_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"crak.dev/crak/lab"
)

// TestExamples runs each program of examples, as root and as an ordinary user, in a copy of the checkout that this user may enter.
func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	examples, err := filepath.Glob("../examples/*")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	checkout, err := os.MkdirTemp("", "crak-examples")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(checkout)
	copies := exec.Command("cp", "-r", "--parents", "examples", "build/crak", "build/libcrak.so", checkout)
	copies.Dir = ".."
	if out, err := copies.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("chmod", "-R", "a+rX", checkout).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, id := range lab.Identities() {
		for _, example := range examples {
			t.Run(id.Name+"/"+filepath.Base(example), func(t *testing.T) {
				runExample(t, filepath.Join(checkout, "examples", filepath.Base(example)), id)
			})
		}
	}
}

// needs are the programs that examples use.
var needs = map[string][]string{"telnet": {"telnet", "/usr/sbin/telnetd", "python3", "ip"}}

func runExample(t *testing.T, path string, id lab.Identity) {
	for _, name := range needs[filepath.Base(path)] {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	if err := exec.Command("unshare", "--user", "--net", "true").Run(); err != nil && id.Name != "root" {
		t.Skip("user namespaces cannot be made: ", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: id.UID, Gid: id.GID}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	if got := strings.Count(out.String(), "answer 1: one\nanswer 2: two\n"); got != 2 {
		t.Errorf("%d of two sessions have their answers:\n%s", got, out.Bytes())
	}
}
