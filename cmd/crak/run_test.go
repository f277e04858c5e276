package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"crak.dev/crak/internal/obstacle"
)

// binary is crak as make builds it.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../build/crak")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: make comes first", err)
	}
	return path
}

func contains(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("%q does not say %q", text, want)
	}
}

func TestPreloadable(t *testing.T) {
	dir := t.TempDir()
	make := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	static := filepath.Join(dir, "static")
	source := filepath.Join(dir, "static.c")
	os.WriteFile(source, []byte("int main(void) { return 0; }\n"), 0o600)
	if out, err := exec.Command("gcc", "-static", "-o", static, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	tests := map[string]string{ // the error for each path
		"/bin/cat":                                 "",
		make("script", 0o700):                      "",
		make("own setuid", 0o700|os.ModeSetuid):    "",
		make("setgid", 0o700|os.ModeSetgid):        "setuid program",
		static:                                     "statically linked program",
		filepath.Join(dir, "nothing of this name"): "no such file",
	}
	if os.Geteuid() == 0 {
		theirs := make("setuid", 0o700)
		if err := os.Chown(theirs, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		os.Chmod(theirs, 0o755|os.ModeSetuid)
		tests[theirs] = "setuid program"
	}
	for path, want := range tests {
		err := preloadable(path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v instead of %q", path, err, want)
		}
		if o, ok := errors.AsType[obstacle.Obstacle](err); ok && (o.Where != path || o.Do == "") {
			t.Errorf("%s: %+v", path, o)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("CRAK_DIR", "old")
	t.Setenv("OTHER", "a=b")
	got := "\n" + strings.Join(environment(map[string]string{"CRAK_DIR": "new", "LD_PRELOAD": "x"}), "\n") + "\n"
	for _, want := range []string{"\nCRAK_DIR=new\n", "\nLD_PRELOAD=x\n", "\nOTHER=a=b\n"} {
		contains(t, got, want)
	}
	if strings.Contains(got, "old") {
		t.Error("two of one name")
	}
}

// TestRun: crak run executes the program with libcrak.so preloaded, from any location of crak.
func TestRun(t *testing.T) {
	install := filepath.Join(t.TempDir(), "with blanks")
	if err := os.Mkdir(install, 0o755); err != nil {
		t.Fatal(err)
	}
	for from, name := range map[string]string{binary(t): "crak", filepath.Join(filepath.Dir(binary(t)), libraryName): libraryName} {
		if err := os.Link(from, filepath.Join(install, name)); err != nil {
			content, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(filepath.Join(install, name), content, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, crak := range []string{binary(t), filepath.Join(install, "crak")} {
		cmd := exec.Command(crak, "run", "--dir", "images", "--signal", "USR1", "--", "sh", "-c",
			`echo "$$ $CRAK_DIR $CRAK_SIGNAL"; grep -c libcrak.so /proc/self/maps; exit 7`)
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"PATH=/usr/bin:/bin", "XDG_CACHE_HOME=" + t.TempDir()}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, _ := cmd.Output()
		if cmd.ProcessState.ExitCode() != 7 || stderr.Len() > 0 {
			t.Errorf("%s: %v, %s", crak, cmd.ProcessState, stderr.String())
		}
		lines := strings.Split(string(out), "\n")
		if want := fmt.Sprintf("%d %s/images USR1", cmd.Process.Pid, cmd.Dir); len(lines) != 3 || lines[0] != want || lines[1] == "0" {
			t.Errorf("%s: %q, not %q", crak, lines, want)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"status 2: --files is for --resume": {"--files=rewind", "--", "true"},
		"status 2: --force is for --resume": {"--force", "--", "true"},
		`status 2: --signal "KILL": nei`:    {"--signal=KILL", "--", "true"},
		"status 2: requires at least 1 arg": {},
		"status 1: exec: \"no-such-thing\"": {"--", "no-such-thing"},
		"hello\nstatus 0: ":                 {"--resume", "--files=rewind", "--dir", t.TempDir(), "--", "echo", "hello"},
	} {
		cmd := exec.Command(binary(t), append([]string{"run"}, args...)...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, _ := cmd.Output()
		message := strings.TrimPrefix(stderr.String(), "crak: ")
		if got := fmt.Sprintf("%sstatus %d: %s", out, cmd.ProcessState.ExitCode(), message); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q instead of %q", args, got, want)
		}
	}
}
