package coord

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"crak.dev/crak/image"
)

func TestCheckpoint(t *testing.T) {
	p := start(t, true, exec.Command("cat"))
	for i, output := range []string{"", filepath.Join(p.dir, "elsewhere")} {
		result, err := Checkpoint(Options{Pid: p.pid(), Output: output})
		if err != nil {
			t.Fatal(err)
		}
		img, err := image.Open(result.Path)
		if err != nil {
			t.Fatal(err)
		}
		if img.Group.Root != image.Pid(p.pid()) || img.Manifest.Program != "cat" || result.Pause <= 0 {
			t.Errorf("image of %q, pid %d, pause %v", img.Manifest.Program, img.Group.Root, result.Pause)
		}
		img.Close()
		if output != "" && result.Path != output {
			t.Errorf("image %q instead of %q", result.Path, output)
		}
		if got := strings.Count(p.log(), "image "+result.Path); got != 1 {
			t.Errorf("checkpoint %d: %d lines in the log: %s", i, got, p.log())
		}
		p.echoes()
		p.noChildren()
	}
}

// TestOwnPriority: a process that makes checkpoints keeps its priority. A process that is only a writer lowers it when the program runs
// again.
func TestOwnPriority(t *testing.T) {
	p := start(t, true, exec.Command("cat"))
	before, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	resumed := 0
	if _, err := Checkpoint(Options{Pid: p.pid(), Resumed: func() { resumed++; p.echoes() }}); err != nil {
		t.Fatal(err)
	}
	if after, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err != nil || after != before {
		t.Errorf("getpriority(2) was %d, and is %d, %v", before, after, err)
	}
	if resumed != 1 {
		t.Errorf("Resumed was called %d times", resumed)
	}
	p.ends()
}

func TestKill(t *testing.T) {
	p := start(t, true, exec.Command("cat"))
	result, err := Checkpoint(Options{Pid: p.pid(), Kill: true, Compress: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); !p.ProcessState.Sys().(interface{ Signaled() bool }).Signaled() {
		t.Errorf("the program has not been killed: %v", err)
	}
	contains(t, p.log(), "(the program is ended, ")
	if err := func() error { img, err := image.Open(result.Path); img.Close(); return err }(); err != nil {
		t.Error(err)
	}
}

// TestFailures: after a failure the program runs on and no image is left.
func TestFailures(t *testing.T) {
	given, giveUp := context.WithCancelCause(context.Background())
	giveUp(errors.New("enough of it"))
	late, giveUpLate := context.WithCancelCause(context.Background())
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"no directory": {Options{Output: "/nonexistent/image"}, "/nonexistent"},
		"in the way":   {Options{Output: "/"}, "exist"},
		"compression":  {Options{Compress: "lz4"}, `compression "lz4": neither zstd nor none`},
		"interrupted":  {Options{Context: given}, "checkpoint given up: enough of it"},
		"interrupted later": {Options{Context: late, Progress: func(*image.Writer, []int) { giveUpLate(errors.New("too long")) }},
			"checkpoint given up: too long"},
		"under another": {Options{}, ErrBusy.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, true, exec.Command("cat"))
			if test.want == ErrBusy.Error() {
				release, err := lock(p.pid())
				if err != nil {
					t.Fatal(err)
				}
				defer release()
			}
			test.options.Pid = p.pid()
			test.options.Settings = map[string]string{"CRAK_DIR": p.dir}
			_, err := Checkpoint(test.options)
			contains(t, errorText(err), test.want)
			contains(t, p.log(), "no checkpoint: ")
			contains(t, p.log(), test.want)
			p.leftAlone()
		})
	}
}

func TestLock(t *testing.T) {
	release, err := lock(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(os.Getpid()); !errors.Is(err, ErrBusy) {
		t.Errorf("second lock: %v", err)
	}
	release()
	if release, err = lock(os.Getpid()); err != nil {
		t.Errorf("lock after release: %v", err)
	} else {
		release()
	}
}

// TestLog: outcomes are appended to the log, a FIFO without a reader is not waited for, and no symbolic link is followed.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	c := &checkpoint{Options: Options{Pid: os.Getpid()}, settings: map[string]string{"CRAK_START_DIR": dir, "CRAK_LOG": "log"}}
	c.log(nil, errors.New("one\ntwo"))
	c.log(&Result{Path: "/image"}, nil)
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil || strings.Count(string(text), "\n") != 2 {
		t.Fatalf("%v: %s", err, text)
	}
	contains(t, string(text), "no checkpoint: one; two\n")
	contains(t, string(text), "image /image (pause ")
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.settings["CRAK_LOG"] = "fifo"
	c.log(nil, errors.New("nobody reads"))
	if err := os.Symlink("victim", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	c.settings["CRAK_LOG"] = "link"
	c.log(nil, errors.New("elsewhere"))
	if _, err := os.Lstat(filepath.Join(dir, "victim")); !os.IsNotExist(err) {
		t.Errorf("the log went where a symbolic link leads: %v", err)
	}
}
