package restore

import (
	"fmt"
	"os"

	"crak.dev/crak/fd"
)

// A PidMode says which PIDs the members get.
type PidMode string

const (
	PidsAuto  PidMode = "auto"  // the old ones here, or where that cannot be, in a new PID namespace
	PidsKeep  PidMode = "keep"  // the old ones here, or none
	PidsFresh PidMode = "fresh" // in a new PID namespace
)

// String, Set and Type make a PidMode the value of a flag.
func (m *PidMode) String() string { return string(*m) }

// Set reads "auto", "keep" or "fresh".
func (m *PidMode) Set(s string) error {
	switch PidMode(s) {
	case PidsAuto, PidsKeep, PidsFresh:
		*m = PidMode(s)
		return nil
	}
	return fmt.Errorf("%q is not auto, keep or fresh", s)
}

// Type is what help calls the value.
func (m *PidMode) Type() string { return "auto|keep|fresh" }

// Options say how a group comes back.
type Options struct {
	Image  string // path
	Detach bool   // return as soon as the program runs
	Pids   PidMode
	Files  fd.Policy
	Force  bool // take changed files

	// Notice is told, in a line, what is not quite as it was.
	Notice func(string)

	// Progress may be nil.
	Progress Progress

	// Started is told the program's PID, as the caller sees it, once it runs.
	Started func(pid int)
}

// env is what descriptions are made from.
func (o *Options) env() *fd.Env {
	env := &fd.Env{Files: o.Files, Force: o.Force, Notice: o.Notice,
		Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}}
	if o.Detach {
		env.Stdio = [3]*os.File{}
		return env
	}
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		env.Terminal = tty
	}
	return env
}
