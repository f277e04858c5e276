package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"
)

// cmdSurvives is the usual test of a program that prints READY, waits for the file go, checks itself and prints PASS. The
// program is checkpointed, killed and restarted. It must then look the same in /proc as before, it must be possible to
// checkpoint it once more, and it must print PASS.
func cmdSurvives(s *session, c *call) error {
	path, err := s.lookup(c.args[0])
	if err != nil {
		return err
	}
	p := &subject{
		session: s, name: filepath.Base(c.args[0]), argv: append([]string{path}, c.args[1:]...),
		stdin: "/dev/null", pidfd: -1,
	}
	if n := len(s.subjects); n > 0 {
		p.name = fmt.Sprintf("%s.%d", p.name, n)
	}
	if env := c.text("env"); env != "" {
		p.env = []string{env}
	}
	p.dir = filepath.Join(s.work, p.name)
	p.captures()
	s.subjects[p.name] = p
	if err := p.examine(c); err != nil {
		return fmt.Errorf("%w\n%s", err, p.uninterrupted())
	}
	return nil
}

// uninterrupted says whether the program passes without checkpoint and restart.
func (p *subject) uninterrupted() string {
	q, err := p.plain()
	if err == nil {
		err = q.passed()
	}
	if err != nil {
		return fmt.Sprintf("uninterrupted, it fails too: %v", err)
	}
	return "uninterrupted, it passes"
}

// examine is what survives does with a program that is not started yet.
func (p *subject) examine(c *call) error {
	if err := p.start(); err != nil {
		return err
	}
	if err := p.ready(); err != nil {
		return err
	}
	before, err := p.picture()
	if err != nil {
		return err
	}
	take := func() error { return p.checkpoint(c) }
	if c.on("trigger") {
		take = func() error { return p.trigger(c, unix.SIGUSR2) }
	}
	if err := take(); err != nil {
		return err
	}
	if err := p.crash(); err != nil {
		return err
	}
	if err := p.restart(c, p.image); err != nil {
		return err
	}
	after, err := p.picture()
	if err != nil {
		return err
	}
	if diff := compare(before, after, volatile); diff != "" && !c.on("restless") {
		return fmt.Errorf("%s: restarted, it differs (-before +after):\n%s", p.name, diff)
	}
	// A restarted program can be checkpointed, too, and runs on afterwards.
	if err := take(); err != nil {
		return fmt.Errorf("second generation: %w", err)
	}
	return p.passes()
}

var (
	readyLine = regexp.MustCompile(`(?m)^READY$`)
	passLine  = regexp.MustCompile(`(?m)^PASS$`)
)

func (p *subject) ready() error {
	_, err := p.output.await(readyLine, p.over, p.session.lab.params.Bound)
	if err != nil {
		return fmt.Errorf("%s: %w%s", p.name, err, p.complaints())
	}
	return nil
}

// passes lets the program run to its end, and checks the result.
func (p *subject) passes() error {
	if err := p.proceed(); err != nil {
		return err
	}
	if err := p.finish(0); err != nil {
		return err
	}
	return p.passed()
}

// passed checks that PASS is among the last lines of its output, and that nothing is on its standard error.
func (p *subject) passed() error {
	if !passLine.Match(p.output.rest()) {
		return fmt.Errorf("%s: no PASS; output: %s", p.name, p.output.rest())
	}
	if said := p.complaints(); said != "" {
		return fmt.Errorf("%s: %w%s", p.name, errStderr, said)
	}
	return nil
}

var errStderr = errors.New("something on its standard error")

// cmdUninterrupted runs the program once more without any checkpoint, and compares the output, and the named files in its
// directory, of both runs.
func cmdUninterrupted(s *session, c *call) error {
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	q, err := p.plain()
	if err != nil {
		return err
	}
	if p.status != q.status {
		return fmt.Errorf("%s: exit status %d, uninterrupted %d", p.name, p.status, q.status)
	}
	return sameOutcome(p, q, c.args[1:])
}

// sameOutcome compares the output, and files or directories below the working directory, of two runs of a program.
func sameOutcome(p, q *subject, names []string) error {
	pairs := [][2]string{{p.output.path, q.output.path}, {p.errors, q.errors}}
	for _, name := range names {
		pairs = append(pairs, [2]string{filepath.Join(p.dir, name), filepath.Join(q.dir, name)})
	}
	for _, pair := range pairs {
		if err := sameTree(pair[0], pair[1]); err != nil {
			return err
		}
	}
	return nil
}

// sameTree reports how two files, or two directories with all that is in them, differ.
func sameTree(have, want string) error {
	info, err := os.Stat(want)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return sameFile(have, want)
	}
	var names [2][]string
	for i, dir := range []string{have, want} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			names[i] = append(names[i], entry.Name())
		}
	}
	if !slices.Equal(names[0], names[1]) {
		return fmt.Errorf("%s and %s: %q and %q", have, want, names[0], names[1])
	}
	for _, name := range names[0] {
		if err := sameTree(filepath.Join(have, name), filepath.Join(want, name)); err != nil {
			return err
		}
	}
	return nil
}

// sameFile reports how two files differ, if they do.
func sameFile(have, want string) error {
	a, err := os.ReadFile(have)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(want)
	if err != nil {
		return err
	}
	if bytes.Equal(a, b) {
		return nil
	}
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return fmt.Errorf("%s and %s: %d and %d bytes, differ from byte %d on: %.200q and %.200q",
		have, want, len(a), len(b), n, a[n:], b[n:])
}
