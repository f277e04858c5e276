package dump

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestExecutableChanged: an executable that was read before the freeze, and was changed since, is ErrChanged.
func TestExecutableChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("cp", "/bin/sleep", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program := exec.Command(path, "60")
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer program.Wait()
	defer program.Process.Kill()
	pid := program.Process.Pid
	for _, c := range []struct {
		name   string
		change func() error
	}{
		{"touched", func() error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) }},
		{"owner", func() error { return os.Chmod(path, 0o700) }},
		{"removed", func() error { return os.Remove(path) }},
	} {
		m := &Member{Pid: pid, Live: pid}
		var err error
		if m.Known.executable, err = executableOf(pid); err != nil {
			t.Fatal(err)
		}
		if err := m.executable(); err != nil || m.process.Executable != m.Known.executable.file {
			t.Errorf("%s: %+v, %v", c.name, m.process.Executable, err)
		}
		if err := m.confirmExecutable(pid); err != nil {
			t.Errorf("%s: before: %v", c.name, err)
		}
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		if err := m.confirmExecutable(pid); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: %v", c.name, err)
		}
		m.Known.Forget()
		if err := m.executable(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if now, err := executableOf(pid); err != nil || m.process.Executable != now.file {
			t.Errorf("%s: read again: %+v, %v", c.name, m.process.Executable, err)
		}
	}
}
