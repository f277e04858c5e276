package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func cmdStart(s *session, c *call) error {
	name := c.args[0]
	if old, ok := s.subjects[name]; ok && old.pidfd >= 0 {
		return fmt.Errorf("%s: already running", name)
	}
	path, err := s.lookup(c.args[1])
	if err != nil {
		return err
	}
	p := &subject{
		session: s, name: name, argv: append([]string{path}, c.args[2:]...), bare: c.on("bare"), init: c.on("init"),
		dir: filepath.Join(s.work, name), stdin: "/dev/null", pidfd: -1,
	}
	if dir := c.text("dir"); dir != "" {
		p.dir = c.ts.MkAbs(dir)
	}
	if in := c.text("stdin"); in != "" {
		p.stdin = c.ts.MkAbs(in)
	}
	if env := c.text("env"); env != "" {
		p.env = []string{env}
	}
	p.captures()
	if c.on("pty") {
		if p.term, err = newTerminal(s.identity, p.output.path); err != nil {
			return err
		}
	}
	s.subjects[name] = p
	if err := p.start(); err != nil {
		return err
	}
	c.ts.Setenv(name+"_pid", strconv.Itoa(p.pid))
	return nil
}

func cmdAwait(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	re, err := regexp.Compile("(?m)" + c.args[1])
	if err != nil {
		return err
	}
	found, err := p.output.await(re, p.over, s.lab.params.Bound)
	if err != nil {
		return fmt.Errorf("%s: %w%s", p.name, err, p.complaints())
	}
	c.output([]byte(found+"\n"), nil)
	return nil
}

// complaints is what the program has written to its standard error.
func (p *subject) complaints() string {
	said := (&capture{path: p.errors}).rest()
	if len(said) == 0 {
		return ""
	}
	return fmt.Sprintf("; stderr: %s", said)
}

func cmdType(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	if p.term == nil {
		return fmt.Errorf("%s: not on a terminal: start it with -pty", p.name)
	}
	keys, err := strconv.Unquote(`"` + c.args[1] + `"`)
	if err != nil {
		return fmt.Errorf("keys %q: %w", c.args[1], err)
	}
	return p.term.typed(keys)
}

func cmdProceed(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	return p.proceed()
}

func cmdSignal(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	sig, err := signalNumber(c.args[1])
	if err != nil {
		return err
	}
	return p.signal(sig)
}

// signalNumber takes a signal as kill(1) does: USR1, SIGUSR1 or 10.
func signalNumber(name string) (unix.Signal, error) {
	if n, err := strconv.Atoi(name); err == nil {
		return unix.Signal(n), nil
	}
	for _, full := range []string{name, "SIG" + name} {
		if n := unix.SignalNum(full); n != 0 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("signal %q: unknown", name)
}

func cmdCrash(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	return p.crash()
}

// crash kills all processes of the program with SIGKILL, and waits until its runner has ended.
func (p *subject) crash() error {
	if err := p.signal(0); err != nil {
		return err
	}
	if err := p.kill(); err != nil {
		return err
	}
	if err := p.gone(p.session.lab.params.Bound); err != nil {
		return err
	}
	// The twin or the writer of the last checkpoint may live a moment longer. It may be in the program's process group. Then the
	// program's PID is still in use, because it is the number of that group.
	_, err := p.session.settled(time.Second)
	return err
}

func cmdFinish(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	want := 0
	if len(c.args) == 2 {
		if want, err = strconv.Atoi(c.args[1]); err != nil {
			return fmt.Errorf("status %q: %w", c.args[1], err)
		}
	}
	return p.finish(want)
}

// finish waits for the program to end by itself, with this status.
func (p *subject) finish(want int) error {
	// It may be a whole run of a real program, beside other work.
	if err := p.gone(p.session.lab.params.Bound * 4); err != nil {
		return fmt.Errorf("%w; output: %s%s", err, p.output.rest(), p.complaints())
	}
	if p.status != want {
		return fmt.Errorf("%s: exit status %d, want %d; output: %s%s",
			p.name, p.status, want, p.output.rest(), p.complaints())
	}
	return nil
}

// cmdRun is testscript's exec, but as the script's identity.
func cmdRun(s *session, c *call) error {
	path, err := s.program(c.args[0])
	if err != nil {
		return err
	}
	env := []string{"CRAK_DIR=" + c.ts.Getenv("CRAK_DIR"), "IMAGE=" + s.newest}
	_, err = s.capture(c, s.command(c.ts.MkAbs("."), env, path, c.args[1:]...))
	return err
}

// program is lookup, but crak is the one under test.
func (s *session) program(name string) (string, error) {
	if name == "crak" {
		return s.lab.crak, nil
	}
	return s.lookup(name)
}

// capture runs a program to its end, which must come in time, and returns its output.
func (s *session) capture(c *call, cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = s.lab.params.Bound
	if err := cmd.Start(); err != nil {
		return "", err
	}
	over := make(chan error, 1)
	go func() { over <- cmd.Wait() }()
	var err error
	select {
	case err = <-over:
	case <-time.After(s.lab.params.Bound * 4):
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		err = errors.Join(errBound, <-over)
	}
	c.output(stdout.Bytes(), stderr.Bytes())
	if err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return stdout.String(), nil
}
