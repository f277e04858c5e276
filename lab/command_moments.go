package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// moments runs a program that has run uninterrupted several times more, each time interrupted at other moments.
type moments struct {
	*subject
	length time.Duration // of a run
	files  []string
	random *rand.Rand
	images int // of all runs
}

// cmdMoments runs a program again and again with checkpoints, kills and restarts at random moments.
// Status, output and files of each run must be those of the uninterrupted run.
func cmdMoments(s *session, c *call) error {
	runs, chain, seed := 3, 2, rand.Uint64()
	for _, option := range []struct {
		name string
		set  func(text string) error
	}{
		{"runs", func(text string) (err error) { runs, err = strconv.Atoi(text); return }},
		{"chain", func(text string) (err error) { chain, err = strconv.Atoi(text); return }},
		{"seed", func(text string) (err error) { seed, err = strconv.ParseUint(text, 10, 64); return }},
	} {
		if text := c.text(option.name); text != "" {
			if err := option.set(text); err != nil {
				return fmt.Errorf("-%s %q: %w", option.name, text, err)
			}
		}
	}
	p, err := s.subject(c.args[0])
	if err != nil {
		return err
	}
	if p.lasted == 0 || !p.bare {
		return fmt.Errorf("%s: run it to its end first: start -bare, and finish", p.name)
	}
	m := &moments{subject: p, length: p.lasted, files: c.args[1:], random: rand.New(rand.NewPCG(seed, 0))}
	const more = 8 // runs, if no run has had an image
	for run := 1; run <= runs || m.images == 0 && run <= runs+more; run++ {
		if run > runs { // it had always ended: the uninterrupted run was slower
			m.length /= 2
		}
		if err := m.run(c, run, chain); err != nil {
			return fmt.Errorf("%s: run %d of %d with -seed %d: %w", p.name, run, runs, seed, err)
		}
	}
	c.output([]byte(fmt.Sprintf("seed %d: %d images\n", seed, m.images)), nil)
	if m.images == 0 {
		return fmt.Errorf("%s: it had always ended before its checkpoint: -seed %d", p.name, seed)
	}
	return nil
}

// run is one run with up to chain checkpoints.
func (m *moments) run(c *call, run, chain int) error {
	p := m.another(run)
	if err := exec.Command("cp", "-aT", m.origin, p.dir).Run(); err != nil {
		return fmt.Errorf("copy of %s: %w", m.origin, err)
	}
	p.captures()
	m.session.subjects[p.name] = p
	if err := p.start(); err != nil {
		return err
	}
	for _, pause := range m.pauses(chain) {
		select {
		case <-p.over:
			// The machine is less busy than it was during the first run.
			m.length = min(m.length, time.Since(p.begun))
		case <-time.After(pause):
			if err := m.interrupt(c, p); err != nil {
				return fmt.Errorf("after %v: %w", pause, err)
			}
		}
	}
	// Everything may take much longer beside other work than it did alone.
	if err := p.gone(m.session.lab.params.Bound * 4); err != nil {
		return err
	}
	if p.status != m.status {
		return fmt.Errorf("exit status %d, uninterrupted %d; output: %s%s", p.status, m.status, p.output.rest(), p.complaints())
	}
	return sameOutcome(p, m.subject, m.files)
}

// another is the same program with a name and a directory of its own.
func (m *moments) another(run int) *subject {
	name := fmt.Sprintf("%s.%d", m.name, run)
	return &subject{
		session: m.session, name: name, argv: m.argv, env: m.env, stdin: m.stdin, pidfd: -1, dir: filepath.Join(m.session.work, name),
	}
}

// pauses are the times between the start and the checkpoints: random parts of the uninterrupted run.
func (m *moments) pauses(count int) []time.Duration {
	var at, pauses []time.Duration
	for range count {
		at = append(at, time.Duration(m.random.Int64N(int64(m.length))))
	}
	slices.Sort(at)
	last := time.Duration(0)
	for _, moment := range at {
		pauses = append(pauses, moment-last)
		last = moment
	}
	return pauses
}

// interrupt checkpoints and kills the program, and restarts it. Nothing is wrong if it has just ended by itself.
func (m *moments) interrupt(c *call, p *subject) error {
	if err := p.checkpoint(c, "--kill"); err != nil {
		if errors.Is(err, errHasEnded) {
			return nil
		}
		return err
	}
	m.images++
	return p.restart(c, p.image)
}
