package proc

import (
	"io"
	"strings"
)

// Timer is one POSIX timer of /proc/PID/timers (proc_pid_timers(5)).
type Timer struct {
	ID       int
	Signal   int
	Value    uint64 // sigev_value
	Notify   int    // SIGEV_SIGNAL, SIGEV_NONE or SIGEV_THREAD
	ThreadID bool   // Target is a thread: SIGEV_THREAD_ID
	Target   int    // PID or TID that is notified, in the reader's PID namespace
	Clock    int
}

// Notify values of sigevent(7).
const (
	SigevSignal = 0
	SigevNone   = 1
	SigevThread = 2
)

// Timers parses /proc/PID/timers. The file exists only if the kernel has CONFIG_CHECKPOINT_RESTORE.
func Timers(r io.Reader) ([]Timer, error) {
	var all []Timer
	l := newLines(r, "timers")
	for l.next() {
		key, value := cutField(l.text)
		f := fields{l: l}
		if key == "ID" {
			all = append(all, Timer{ID: f.int("id", value)})
		} else if len(all) == 0 {
			return nil, l.bad("no ID before it")
		} else {
			all[len(all)-1].set(&f, key, value)
		}
		if f.err != nil {
			return nil, f.err
		}
	}
	return all, l.err
}

func (t *Timer) set(f *fields, key, value string) {
	switch key {
	case "signal":
		signal, pointer, _ := strings.Cut(value, "/")
		t.Signal = f.int("signal", signal)
		if strings.Trim(pointer, "()") == "null" { // %px of a null pointer
			return
		}
		t.Value = f.uint("value", strings.TrimPrefix(pointer, "0x"), 16)
	case "notify":
		how, target, _ := strings.Cut(value, "/")
		switch how {
		case "signal":
			t.Notify = SigevSignal
		case "none":
			t.Notify = SigevNone
		case "thread":
			t.Notify = SigevThread
		default:
			f.fail("notification")
		}
		kind, id, _ := strings.Cut(target, ".")
		t.ThreadID = kind == "tid"
		if kind != "tid" && kind != "pid" {
			f.fail("notification")
		}
		t.Target = f.int("target", id)
	case "ClockID":
		t.Clock = f.int("clock", value)
	}
}
