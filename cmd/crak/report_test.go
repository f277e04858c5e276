package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"crak.dev/crak/internal/obstacle"
)

// redirect sends what is written to standard error to f until the test ends.
func redirect(t *testing.T, f *os.File) {
	t.Helper()
	was := os.Stderr
	os.Stderr = f
	t.Cleanup(func() { os.Stderr = was })
}

func TestReport(t *testing.T) {
	one := obstacle.Obstacle{Pid: 6, Where: "fd 7", What: "thing", Why: "not supported", Do: "close it"}
	again, three := one, obstacle.Obstacle{Pid: 6, What: "third", Why: "not supported", Do: "close it"}
	again.Where = "fd 8"
	two := obstacle.Obstacle{Pid: 6, What: "other", Why: "too old"}
	for want, err := range map[string]error{
		"crak: plain\n": errors.New("plain"),
		"crak: pid 6 fd 7: thing: not supported\ncrak: hint: close it\n":                                       fmt.Errorf("wrapped: %w", one),
		"crak: pid 6 fd 7: thing: not supported\ncrak: hint: close it\ncrak: pid 6: other: too old\n":          obstacle.List{one, two},
		"crak: pid 6 fd 7, 8: thing: not supported\ncrak: pid 6: third: not supported\ncrak: hint: close it\n": obstacle.List{one, three, again},
		"crak: two words\ncrak: hint: crak checkpoint --help\n":                                                usageError{errors.New("two words")},
	} {
		r, w, pipeErr := os.Pipe()
		if pipeErr != nil {
			t.Fatal(pipeErr)
		}
		redirect(t, w)
		cmd, _, _ := newRoot().Find([]string{"checkpoint"})
		report(cmd, err)
		w.Close()
		got, _ := io.ReadAll(r)
		if string(got) != want {
			t.Errorf("%q instead of %q", got, want)
		}
	}
}

// TestProgressQuiet: nothing is written to a stderr that is not a terminal.
func TestProgressQuiet(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	redirect(t, w)
	p := newProgress("checkpoint")
	p.follow(func() uint64 { t.Error("asked"); return 0 }, 100)
	p.end()
	w.Close()
	if got, _ := io.ReadAll(r); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// TestProgress: on a terminal the bar appears after a second, and is removed at the end.
func TestProgress(t *testing.T) {
	master, terminal := newTerminal(t)
	redirect(t, terminal)
	var asked atomic.Bool
	p := newProgress("checkpoint")
	done := uint64(0)
	p.follow(func() uint64 { asked.Store(true); done = min(done+5e6, 50e6); return done }, 100e6)
	var seen []byte
	b := make([]byte, 4096)
	const late = "too late"
	defer time.AfterFunc(20*time.Second, func() { terminal.WriteString(late) }).Stop()
	for !bytes.Contains(seen, []byte("47.7 MiB / 95.4 MiB")) && !bytes.Contains(seen, []byte(late)) {
		n, err := master.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, b[:n]...)
	}
	p.end()
	if !bytes.Contains(seen, []byte("checkpoint")) || !bytes.Contains(seen, []byte("MiB/s")) || !asked.Load() {
		t.Errorf("%q", seen)
	}
	short := newProgress("short") // ends before the bar would appear
	short.follow(func() uint64 { return 0 }, 1)
	short.end()
}

func newTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return master, terminal
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 obstacles", 1: "1 obstacle", 2: "2 obstacles"} {
		if got := count(n, "obstacle"); got != want {
			t.Errorf("%q", got)
		}
	}
}

// TestPrintPath: a terminal gets no escapes and newlines of a program's choice, a script gets the path as it is.
func TestPrintPath(t *testing.T) {
	const path = "/images\x1b[2J\nforged"
	var script bytes.Buffer
	if err := printPath(&script, path); err != nil || script.String() != path+"\n" {
		t.Errorf("%q, %v", script.String(), err)
	}
	master, slave := newTerminal(t)
	if err := printPath(slave, path); err != nil {
		t.Fatal(err)
	}
	shown := make([]byte, 256)
	n, err := master.Read(shown)
	if want := "/images\\x1b[2J\\nforged\r\n"; err != nil || string(shown[:n]) != want {
		t.Errorf("%q, %v, want %q", shown[:n], err, want)
	}
}
