package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"stat.utime", "stat.utime", true},
		{"stat.utime", "stat.utimes", false},
		{"stat", "stat.utime", false},
		{"stat.utime", "stat", false},
		{"namespaces.*", "namespaces.pid", true},
		{"threads.*.stat.*", "threads.12.stat.utime", true},
		{"threads.*.stat.*", "threads.12.status.Uid", false},
		{"threads.*.status.Vm*", "threads.12.status.VmRSS", true},
		{"threads.*.status.Vm*", "threads.12.status.Uid", false},
		{"limits.*", "limits.Max open files", true},
		{"*", "pid", true},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("matches(%q, %q) = %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
}

func TestPictureOfOurselves(t *testing.T) {
	p, err := TakeGroup(os.Getpid(), []int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	all := leaves(p, nil)
	for name, want := range map[string]string{"exe": exe, "descriptors.0.target": "", "stat.num_threads": "", "limits.Max open files": ""} {
		if got, ok := all[strconv.Itoa(os.Getpid())+"."+name]; !ok || want != "" && got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	path := filepath.Join(t.TempDir(), "picture")
	if err := p.write(path); err != nil {
		t.Fatal(err)
	}
	q, err := readPicture(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := compare(p, q, nil); diff != "" {
		t.Errorf("written and read, it differs:\n%s", diff)
	}
}

func TestPictureShowsAChange(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	// Once it answers, it is past its start.
	if _, err := in.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	before, err := TakeGroup(pid, []int{pid})
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("prlimit", "--core=123:123", "--pid", strconv.Itoa(pid)).Run(); err != nil {
		t.Fatal(err)
	}
	after, err := TakeGroup(pid, []int{pid})
	if err != nil {
		t.Fatal(err)
	}
	if compare(before, after, volatile) == "" {
		t.Error("a limit was changed, and no difference is seen")
	}
	if diff := compare(before, after, append([]string{"limits.*"}, volatile...)); diff != "" {
		t.Errorf("limits aside, it differs:\n%s", diff)
	}
}

func TestTimersAndLocks(t *testing.T) {
	info := []byte("pos:\t0\nlock:\t2: FLOCK  ADVISORY  WRITE 412 fe:00:135 0 EOF\nlock:\t1: POSIX  ADVISORY  READ 412 fe:00:135 0 9\n")
	if got, want := locks(info), "FLOCK ADVISORY WRITE 0 EOF, POSIX ADVISORY READ 0 9"; got != want {
		t.Errorf("locks: %q, want %q", got, want)
	}
	dir := t.TempDir()
	text := "ID: 3\nsignal: 10/0000000000000005\nnotify: signal/pid.2634\nClockID: 0\nID: 7\nsignal: 0/00\nnotify: none/pid.2634\nClockID: 1\n"
	if err := os.WriteFile(filepath.Join(dir, "timers"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := timers(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"3": map[string]any{"signal": "10/0000000000000005", "notify": "signal/pid", "ClockID": "0"},
		"7": map[string]any{"signal": "0/00", "notify": "none/pid", "ClockID": "1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("timers (-want +got):\n%s", diff)
	}
}

func TestMergedMappings(t *testing.T) {
	got := merged([]mapping{
		{start: "1000", end: "2000", perms: "rw-p", flags: "rd wr"},
		{start: "2000", end: "3000", perms: "rw-p", flags: "rd wr"},
		{start: "3000", end: "4000", perms: "r--p", flags: "rd"},
		{start: "5000", end: "6000", perms: "r--p", flags: "rd"},
	})
	if len(got) != 3 || got[0].end != "3000" {
		t.Errorf("merged: %+v", got)
	}
}

// TestUnreadable: what only one of two pictures could read is not compared, what both have is.
func TestUnreadable(t *testing.T) {
	with := func(slack string) Group {
		return Group{"7": Picture{"threads": map[string]any{"7": map[string]any{"timer_slack": slack}}}}
	}
	if diff := compare(Group{}, with("50000"), nil); diff != "" {
		t.Errorf("read in one alone: %s", diff)
	}
	if diff := compare(with("1"), with("50000"), nil); diff == "" {
		t.Error("different ones are taken for equal")
	}
}
