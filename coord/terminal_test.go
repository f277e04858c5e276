package coord

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/proc"
)

// TestStopKey: ^Z on the terminal of `crak checkpoint` does not stop it while the program is frozen.
func TestStopKey(t *testing.T) {
	crak, err := filepath.Abs("../build/crak")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if pressStop(t, crak, holder(t, 30)) {
			return
		}
	}
	t.Error("the program was never frozen when the key was pressed")
}

// pressStop checkpoints the program and presses ^Z under the freeze. It tells whether the program was still frozen after that.
func pressStop(t *testing.T, crak string, p *program) bool {
	t.Helper()
	master, terminal := openTerminal(t)
	dir := t.TempDir()
	// The shell leads the session, and crak is a job in the foreground. The kernel does not stop a job that no shell controls.
	cmd := exec.Command("sh", "-m", "-c", `"$@"; echo "status $?"`, "sh",
		crak, "checkpoint", "--kill", "-o", filepath.Join(dir, "image"), strconv.Itoa(p.pid()))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close() // so that reading ends when the shell and crak have ended
	defer time.AfterFunc(20*time.Second, func() { unix.Kill(cmd.Process.Pid, unix.SIGKILL) }).Stop()
	// The image's directory is made between the query and the freeze. Both run the resident's handler.
	for deadline := time.Now().Add(20 * time.Second); ; {
		if made, _ := os.ReadDir(dir); len(made) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no image is made")
		}
	}
	p.awaitFreeze(0)
	master.WriteString("\x1a")
	shown := readUntil(t, master, "^Z")
	frozen := p.inHandler() // the terminal sends the signal before it echoes the key
	shown += readUntil(t, master, "status ")
	shown += readUntil(t, master, "\n")
	cmd.Wait() // the end of the shell ends a job that is stopped
	if frozen && !strings.HasSuffix(shown, "status 0\r\n") {
		t.Errorf("%q", shown) // 148: SIGTSTP
	}
	return frozen
}

func readUntil(t *testing.T, f *os.File, end string) string {
	t.Helper()
	var text []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(text), end); {
		if _, err := f.Read(b); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		text = append(text, b...)
	}
	return string(text)
}

// openTerminal opens both ends of a new terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	master = open("/dev/ptmx")
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return master, open(fmt.Sprintf("/dev/pts/%d", n))
}

// TestNotKilled: the freeze has ended between the commit and the order to end the program. The error says that the image is complete
// and the program runs on.
func TestNotKilled(t *testing.T) {
	p := holder(t, 1)
	stat, err := proc.Read(p.pid(), "stat", proc.Stat)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{pid: p.pid(), start: stat.StartTime, conn: frozen(t, p.pid())}
	p.echoes() // after the freeze limit
	err = (&checkpoint{members: []*member{m}}).kill("/images/1")
	if err == nil || !strings.HasPrefix(err.Error(), `image "/images/1" is committed, but the program runs on: `) {
		t.Errorf("%v", err)
	}
	p.leftAlone()
}
