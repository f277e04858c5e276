package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// scripted runs scripts with a lab that has no crak, and returns what it says.
func scripted(t *testing.T, scripts map[string]string) (Result, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name+".txtar"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "programs"), 0o700); err != nil {
		t.Fatal(err)
	}
	program := "/* cc: -lm */\n#include <math.h>\n#include <stdio.h>\n" +
		"int main(int argc, char **argv) { (void)argv; printf(\"%g\\n\", sqrt(argc)); return argc; }\n"
	if err := os.WriteFile(filepath.Join(dir, "programs", "root.c"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	result, err := RunScripts(context.Background(), &said, Params{
		Dir: dir, Crak: "/bin/true", Library: "/bin/true", Bound: 5 * time.Second, Cache: filepath.Join(dir, "cache"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return result, said.String()
}

// each is how many times a script runs: once for each identity.
func each() int { return len(Identities()) }

func TestScripts(t *testing.T) {
	scripts := map[string]string{
		"good": "start -bare one root a b\nawait one 1.73\nfinish one 3\nuninterrupted one\n",
		"wait": "start -bare dog sleep 300\nsignal dog STOP\nsignal dog CONT\ncrash dog\nstrays\n",
		"file": "start -bare -stdin text dog cat\nawait dog '^second$'\nfinish dog\nrun id -u\n[root] stdout '^0$'\n-- text --\nfirst\nsecond\n",
		"tty":  "start -bare -pty dog cat\ntype dog 'woof\\r'\nscreen dog 'woof\\r\\nwoof'\ntype dog '\\x04'\nfinish dog\n",
		"skip": "skip 'no reason'\n",
	}
	want := Result{Passed: 4 * each(), Skipped: each()}
	result, said := scripted(t, scripts)
	if result != want {
		t.Errorf("result %+v, want %+v; it said:\n%s", result, want, said)
	}
}

func TestFailures(t *testing.T) {
	result, said := scripted(t, map[string]string{
		"status":  "start -bare one root a b\nfinish one 4\n",
		"output":  "start -bare one root\nawait one 3.14\n",
		"stray":   "run sh -c 'setsid sleep 300 >/dev/null 2>&1 &'\n",
		"unknown": "crash nobody\n",
		"usage":   "finish\n",
	})
	if want := (Result{Failed: 5 * each()}); result != want {
		t.Errorf("result %+v, want %+v", result, want)
	}
	for _, want := range []string{
		"one: exit status 3, want 4", "no match for \"(?m)3.14\": program has ended", "left behind by the script, and killed: pid",
		"nobody: no such program", "usage: finish NAME [STATUS]",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing of %q in:\n%s", want, said)
		}
	}
}

// TestSurroundings: what a lab's own process was started with does not reach the programs. It runs itself once more, as
// nohup, a shell's background job, a stray descriptor, a strict umask and another locale would have it.
func TestSurroundings(t *testing.T) {
	const again = "CRAK_LAB_SURROUNDED"
	result, said := scripted(t, map[string]string{
		"settled": `run sh -c 'grep -E "^Sig(Ign|Blk)" /proc/self/status; umask; echo /proc/$$/fd/*; echo $LANG $LC_ALL'` + "\n" +
			`stdout '^SigIgn:\s0+$'` + "\n" + `stdout '^SigBlk:\s0+$'` + "\n" + `stdout '^0022$'` + "\n" +
			`! stdout /fd/7` + "\n" + `stdout '^C.UTF-8$'` + "\n",
	})
	if want := (Result{Passed: each()}); result != want {
		t.Fatalf("result %+v, want %+v; it said:\n%s", result, want, said)
	}
	if os.Getenv(again) != "" {
		return
	}
	cmd := exec.Command("sh", "-c", `trap "" HUP INT QUIT PIPE TTOU TSTP CHLD; umask 077; exec 7</dev/null 0<&-; exec "$0" -test.run '^TestSurroundings$'`, os.Args[0])
	cmd.Env = append(os.Environ(), again+"=1", "LC_ALL=tr_TR.UTF-8", "LANG=tr_TR.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in other surroundings: %v\n%s", err, out)
	}
}

func TestAwait(t *testing.T) {
	c := &capture{path: filepath.Join(t.TempDir(), "out")}
	if err := os.WriteFile(c.path, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	never := make(chan struct{})
	line := regexp.MustCompile(`(?m)^\w+$`)
	if got, err := c.await(line, never, time.Second); got != "one" || err != nil {
		t.Fatalf("await: %q, %v", got, err)
	}
	go func() {
		f, err := os.OpenFile(c.path, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			f.WriteString("two\n")
			f.Close()
		}
	}()
	if got, err := c.await(line, never, 5*time.Second); got != "two" || err != nil {
		t.Fatalf("await: %q, %v", got, err)
	}
	if _, err := c.await(line, never, 10*time.Millisecond); !errors.Is(err, errBound) {
		t.Errorf("await without a match: %v", err)
	}
	ended := make(chan struct{})
	close(ended)
	if _, err := c.await(line, ended, time.Minute); !errors.Is(err, errEnded) {
		t.Errorf("await after the end: %v", err)
	}
}

func TestIdentityOfScripts(t *testing.T) {
	user := Identity{Name: "user", UID: 1}
	for text, want := range map[string]bool{
		"# a comment\n":               true,
		"# as: root\n":                false,
		"# as: user\n":                true,
		"# title\n# as: root\nstop\n": false,
		"stop\n# as: root\n":          true,
	} {
		if got := user.For([]byte(text)); got != want {
			t.Errorf("For(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestConditions(t *testing.T) {
	l := &Lab{tools: t.TempDir()}
	for cond, want := range map[string]bool{
		"kernel:3.0": true, "kernel:99.1": false, "prog:sh": true, "prog:no-such-program": false, "user": false, "root": true,
	} {
		if got, err := l.condition(Identity{Name: "root"}, cond); got != want || err != nil {
			t.Errorf("[%s] is %v, %v; want %v", cond, got, err, want)
		}
	}
	for _, cond := range []string{"feature:none", "cap:none", "none"} {
		if _, err := l.condition(Identity{}, cond); err == nil {
			t.Errorf("[%s]: no error", cond)
		}
	}
}
