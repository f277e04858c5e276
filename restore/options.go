package restore

import (
	"fmt"
	"os"

	"crak.dev/crak/fd"
)

// A PidMode says which PIDs the members get.
type PidMode string

const (
	PidsAuto  PidMode = "auto"  // the old PIDs here; if that is impossible, in a new PID namespace
	PidsKeep  PidMode = "keep"  // the old PIDs here, or an error
	PidsFresh PidMode = "fresh" // the old PIDs in a new PID namespace
)

// String, Set and Type implement the value of a flag.
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

// Type is the name of the value in the help.
func (m *PidMode) Type() string { return "auto|keep|fresh" }

// Options say how a group is restarted.
type Options struct {
	Image   string // path
	Detach  bool   // return as soon as the program runs
	Pids    PidMode
	Files   fd.Policy
	Force   bool // accept changed files
	Changes fd.Changes

	// Notice is called with a line of text for each difference between the restarted program and the one in the image.
	Notice func(string)

	// Progress may be nil.
	Progress Progress

	// Started is called when the program runs, with its PID in the caller's PID namespace.
	Started func(pid int)
}

// env returns the environment in which open file descriptions are made.
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
